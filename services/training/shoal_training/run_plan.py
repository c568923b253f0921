"""What a run would do, in words: printed before it is done."""

import numpy as np

from shoal_training.config import TrainingConfig
from shoal_training.devices import Device
from shoal_training.networks import PoseNetwork
from shoal_training.receptive_field import receptive_field_px
from shoal_training.summary import summarize
from shoal_training.training_data import TrainingData

MB = 1e6


def describe_plan(
    data: TrainingData,
    network: PoseNetwork,
    size_hw: tuple[int, int],
    batches_per_epoch: int,
    device: Device,
) -> str:
    """Returns some lines: data, network, optimisation.

    Args:
        data: With the resolved configuration.
        network: As it is before training.
        size_hw: Height and width of the network's input.
        batches_per_epoch: Of training.
        device: Where training happens.
    """
    config, split = data.config, data.split
    costs = summarize(network, size_hw, config.optimization.batch_size)
    field = receptive_field_px(config.network)
    optimization = config.optimization
    steps = -(-batches_per_epoch // optimization.accumulation_steps)
    lines = {
        "Model": f"{config.kind}, network {config.network.type}, "
        + ", ".join(f"{head.name} (1/{head.stride})" for head in network.heads if head.is_map),
        "Frames": f"{len(split.training)} to train on, {len(split.validation)} to validate on, "
        f"{len(split.test)} to test on",
        "Input": f"{size_hw[1]} by {size_hw[0]} px, {network.channels} "
        f"channel{'s' if network.channels > 1 else ''}, scale {config.data.input_scale:g}",
        "Network": f"{costs.parameter_count / 1e6:.2f} million parameters, "
        f"{costs.flops_per_image / 1e9:.2f} GFLOP per image, about "
        f"{costs.training_bytes / MB:,.0f} MB for training",
        "Field": "not known" if field is None else f"{field} px{_animals(data, field)}",
        "Training": f"{optimization.epochs} epochs of {steps} steps, batch "
        f"{optimization.batch_size * optimization.accumulation_steps}, "
        f"{optimization.optimizer.type} {optimization.optimizer.learning_rate:g}, "
        f"{optimization.precision} on {device.torch_device}{_time(config)}",
    }
    return "".join(f"{name + ':':<10}{text}\n" for name, text in lines.items())


def _animals(data: TrainingData, field_px: int) -> str:
    """Says how the receptive field compares with the labelled animals."""
    spans = [
        np.nanmax(np.nanmax(points_N2, axis=0) - np.nanmin(points_N2, axis=0))
        for frame in data.labelled.frames
        for points_N2 in frame.points_px_IN2
    ]
    largest = float(np.max(spans)) * data.config.data.input_scale
    verdict = "" if field_px >= largest else ": more than the network sees at once"
    return f"; the largest animal is {largest:.0f} px long{verdict}"


def _time(config: TrainingConfig) -> str:
    budget_s = config.optimization.time_budget_s
    return "" if budget_s is None else f", at most {budget_s:g} s"

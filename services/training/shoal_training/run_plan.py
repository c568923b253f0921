"""What a run would do, in words: printed before it is done."""

from shoal_training.config import TrainingConfig
from shoal_training.description import RunDescription, describe
from shoal_training.devices import Device
from shoal_training.networks import PoseNetwork
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
    run = describe(data, network, size_hw, batches_per_epoch)
    config, optimization = data.config, data.config.optimization
    lines = {
        "Model": f"{config.kind}, network {config.network.type}, {', '.join(run.heads)}",
        "Frames": f"{run.training_frames} to train on, {run.validation_frames} to validate on, "
        f"{run.test_frames} to test on",
        "Input": f"{run.input_size_px} px, {run.channels} channel"
        f"{'s' if run.channels > 1 else ''}, scale {config.data.scale:g}",
        "Network": f"{run.parameters / 1e6:.2f} million parameters, "
        f"{run.flops_per_image / 1e9:.2f} GFLOP per image, about "
        f"{run.memory_bytes / MB:,.0f} MB for training",
        "Field": "not known" if run.receptive_field_px is None else _field(run),
        "Training": f"{optimization.epochs} epochs of {run.steps_per_epoch} steps, batch "
        f"{optimization.batch_size * optimization.accumulation_steps}, "
        f"{optimization.optimizer.type} {optimization.optimizer.learning_rate:g}, "
        f"{device.precision} on {device.torch_device}{_time(config)}",
    }
    return "".join(f"{name + ':':<10}{text}\n" for name, text in lines.items())


def _field(run: RunDescription) -> str:
    """Says how the receptive field compares with the labelled animals."""
    field_px = run.receptive_field_px or 0
    verdict = "" if field_px >= run.animal_size_px else ": more than the network sees at once"
    return f"{field_px} px; the animals are up to {run.animal_size_px} px long{verdict}"


def _time(config: TrainingConfig) -> str:
    budget_s = config.optimization.time_budget_s
    return "" if budget_s is None else f", at most {budget_s:g} s"

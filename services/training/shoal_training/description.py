"""What a run would be, before anything is trained: frames, network, costs.

Axis legend: I instances, N nodes, 2 = (x, y).
"""

import time
from dataclasses import dataclass

import numpy as np
import torch

from shoal_training.config import TrainingConfig
from shoal_training.config_checks import CROP_KINDS
from shoal_training.heads import head_specs
from shoal_training.networks.build import build_network
from shoal_training.networks.pose_network import PoseNetwork
from shoal_training.receptive_field import receptive_field_px, suggest_max_stride
from shoal_training.sample_source import input_size_hw, window_size_hw
from shoal_training.summary import summarize
from shoal_training.training_data import TrainingData

_MOST_ANIMALS = 95
"""Percentile of their sizes: one label that is far off is no large animal."""


@dataclass(frozen=True, kw_only=True)
class RunDescription:
    """Figures of one run; the unit is the end of the name."""

    training_frames: int
    validation_frames: int
    test_frames: int
    animals: int
    """Labelled, in all frames."""
    crop_size_px: int | None
    """Side of a crop in frame pixels; None where the network sees whole frames."""
    input_size_px: str
    """Width by height of the network's input."""
    channels: int
    parameters: int
    flops_per_image: int
    memory_bytes: int
    """Estimate of what training needs."""
    max_stride: int
    receptive_field_px: int | None
    """In pixels of the network's input; None where it is not known."""
    animal_size_px: int
    """Side of the bounding box that holds 95 % of the animals, in the same pixels."""
    suggested_max_stride: int
    """Least maximum stride of a UNet that sees so large an animal at once."""
    heads: tuple[str, ...]
    steps_per_epoch: int
    """Of the optimiser."""
    steps: int
    """If nothing ends training earlier."""


def describe(
    data: TrainingData, network: PoseNetwork, size_hw: tuple[int, int], batches_per_epoch: int
) -> RunDescription:
    """Returns what a run would be; nothing is computed but sizes.

    Args:
        data: With the resolved configuration.
        network: As it is before training.
        size_hw: Height and width of the network's input.
        batches_per_epoch: Of training.
    """
    config, split = data.config, data.split
    cost = summarize(network, size_hw, config.optimization.batch_size)
    animals_px = data.labelled.animal_sizes_px() * config.data.scale
    animal_size_px = int(np.ceil(np.percentile(animals_px, _MOST_ANIMALS)))
    steps_per_epoch = -(-batches_per_epoch // config.optimization.accumulation_steps)
    return RunDescription(
        training_frames=len(split.training),
        validation_frames=len(split.validation),
        test_frames=len(split.test),
        animals=len(animals_px),
        crop_size_px=config.data.crop_size_px if config.kind in CROP_KINDS else None,
        input_size_px=f"{size_hw[1]} by {size_hw[0]}",
        channels=network.channels,
        parameters=cost.parameter_count,
        flops_per_image=cost.flops_per_image,
        memory_bytes=cost.training_bytes,
        max_stride=network.max_stride,
        receptive_field_px=receptive_field_px(config.network),
        animal_size_px=animal_size_px,
        suggested_max_stride=suggest_max_stride(animal_size_px),
        heads=tuple(f"{head.name} (1/{head.stride})" for head in network.heads if head.is_map),
        steps_per_epoch=steps_per_epoch,
        steps=config.optimization.epochs * steps_per_epoch,
    )


def preview(data: TrainingData) -> tuple[RunDescription, float]:
    """Returns what a run would be, and how many seconds its training would take here.

    Takes some steps with an untrained network; augmentation, which runs beside, is left out.

    Raises:
        InvalidArgument: What is wrong with the network or its heads.
    """
    config, labelled = data.config, data.labelled
    heads = head_specs(config.kind, config.heads, labelled.skeleton, len(config.heads.classes))
    network = build_network(config.network, labelled.channels, heads)
    data_config = config.data
    crop_size_px = data_config.crop_size_px if config.kind in CROP_KINDS else None
    stride = network.max_stride
    size_hw = input_size_hw(labelled, crop_size_px, data_config.scale, stride)
    size_hw = window_size_hw(size_hw, data_config, stride)
    description = describe(data, network, size_hw, _batches_per_epoch(data))
    return description, _training_seconds(config, network, size_hw, description.steps)


def _batches_per_epoch(data: TrainingData) -> int:
    config, training = data.config, data.split.training
    samples = len(training)
    if config.kind in CROP_KINDS:
        samples = sum(len(data.labelled.frames[index].points_px_IN2) for index in training)
    optimization = config.optimization
    return max(-(-samples // optimization.batch_size), optimization.min_batches_per_epoch)


def _training_seconds(
    config: TrainingConfig, network: PoseNetwork, size_hw: tuple[int, int], steps: int
) -> float:
    """Returns the time of the steps, or the time budget where that is less."""
    optimization = config.optimization
    images_BCHW = torch.rand(optimization.batch_size, network.channels, *size_hw)
    seconds = min(_step_seconds(network, images_BCHW) for _ in range(2))
    total_s = steps * optimization.accumulation_steps * seconds
    budget_s = optimization.time_budget_s
    return total_s if budget_s is None else min(total_s, budget_s)


def _step_seconds(network: PoseNetwork, images_BCHW: torch.Tensor) -> float:
    begun_s = time.perf_counter()
    outputs = network(images_BCHW)
    torch.autograd.backward([output.mean() for output in outputs.values()])
    return time.perf_counter() - begun_s

"""What a run would be, before anything is trained: frames, network, costs.

Axis legend: I instances, N nodes, 2 = (x, y).
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shoal_training.config import TrainingConfig
from shoal_training.cutting import up_to_stride
from shoal_training.heads import head_specs
from shoal_training.labelled_set import LabelledSet
from shoal_training.model_spec import CROP_KINDS
from shoal_training.networks.build import build_network
from shoal_training.networks.pose_network import PoseNetwork
from shoal_training.receptive_field import receptive_field_px, suggest_max_stride
from shoal_training.splits import Split
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
    """Height and width of the network's input."""
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
    steps: int
    """Of the optimiser, if nothing ends training earlier."""
    estimated_time_s: float
    """For these steps on this machine, or the time budget where that is less."""


def describe(data: TrainingData) -> RunDescription:
    """Returns what a run would be; takes some steps with an untrained network.

    Raises:
        InvalidArgument: What is wrong with the network or its heads.
    """
    config, labelled, split = data.config, data.labelled, data.split
    heads = head_specs(config.kind, config.heads, labelled.skeleton, len(config.heads.classes))
    network = build_network(config.network, labelled.channels, heads)
    size_hw = _input_size(config, labelled, network.max_stride)
    cost = summarize(network, size_hw, config.optimization.batch_size)
    animals_px = _animal_sizes_px(labelled) * config.data.input_scale
    animal_size_px = int(np.ceil(np.percentile(animals_px, _MOST_ANIMALS)))
    steps = config.optimization.epochs * _steps_per_epoch(config, labelled, split)
    return RunDescription(
        training_frames=len(split.training),
        validation_frames=len(split.validation),
        test_frames=len(split.test),
        animals=len(animals_px),
        crop_size_px=config.data.crop_size_px if config.kind in CROP_KINDS else None,
        input_size_px=f"{size_hw[0]} x {size_hw[1]}",
        channels=labelled.channels,
        parameters=cost.parameter_count,
        flops_per_image=cost.flops_per_image,
        memory_bytes=cost.training_bytes,
        max_stride=network.max_stride,
        receptive_field_px=receptive_field_px(config.network),
        animal_size_px=animal_size_px,
        suggested_max_stride=suggest_max_stride(animal_size_px),
        heads=tuple(f"{head.name} /{head.stride}" for head in heads),
        steps=steps,
        estimated_time_s=_estimated_time_s(config, network, size_hw, steps),
    )


def _input_size(config: TrainingConfig, labelled: LabelledSet, stride: int) -> tuple[int, int]:
    """Returns height and width that hold the crop, or every frame."""
    sizes = [labelled.frame_size_px(frame) for frame in labelled.frames]
    height, width = (max(each) for each in zip(*sizes, strict=True))
    if config.kind in CROP_KINDS:
        assert config.data.crop_size_px is not None, "resolved by the labels"
        height = width = config.data.crop_size_px
    scale = config.data.input_scale
    return up_to_stride(height * scale, stride), up_to_stride(width * scale, stride)


def _animal_sizes_px(labelled: LabelledSet) -> NDArray[np.float32]:
    """Returns the longer side of each animal's bounding box, in frame pixels."""
    sides = []
    for frame in labelled.frames:
        low_I2 = np.nanmin(frame.points_px_IN2, axis=1)
        high_I2 = np.nanmax(frame.points_px_IN2, axis=1)
        sides.append((high_I2 - low_I2).max(axis=1))
    return np.concatenate(sides)


def _steps_per_epoch(config: TrainingConfig, labelled: LabelledSet, split: Split) -> int:
    samples = len(split.training)
    if config.kind in CROP_KINDS:
        samples = sum(len(labelled.frames[index].points_px_IN2) for index in split.training)
    optimization = config.optimization
    batches = max(-(-samples // optimization.batch_size), optimization.min_batches_per_epoch)
    return -(-batches // optimization.accumulation_steps)


def _estimated_time_s(
    config: TrainingConfig, network: PoseNetwork, size_hw: tuple[int, int], steps: int
) -> float:
    """Returns the time of the steps, from one of them; without augmentation, which runs beside."""
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

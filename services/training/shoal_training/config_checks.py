"""What must hold between the values of a training configuration."""

import math
from collections.abc import Iterator
from typing import assert_never

from shoal_core.errors import InvalidArgument
from shoal_training.config import (
    AugmentConfig,
    CompactConfig,
    DataConfig,
    HeadsConfig,
    HourglassConfig,
    LeapConfig,
    ModelKind,
    NetworkConfig,
    OptimizationConfig,
    PretrainedConfig,
    ResNetConfig,
    TrainingConfig,
    UNetConfig,
)

ONE_PEAK_KINDS: frozenset[ModelKind] = frozenset(
    {"single_instance", "centered_instance", "multiclass_centered_instance"}
)
"""Kinds in whose confidence maps each node is once at most."""

CROP_KINDS: frozenset[ModelKind] = frozenset({"centered_instance", "multiclass_centered_instance"})
"""Kinds whose network sees a crop around each animal; they need to be told the centroids."""

ID_KINDS: frozenset[ModelKind] = frozenset({"multiclass_bottomup", "multiclass_centered_instance"})
"""Kinds that tell animals apart."""

PARTS_KINDS: frozenset[ModelKind] = frozenset({"bottomup", "multiclass_bottomup"})
"""Kinds that find the nodes of all animals at once."""

_HEAD_KINDS: dict[str, ModelKind] = {
    "pafs": "bottomup",
    "class_maps": "multiclass_bottomup",
    "class_vectors": "multiclass_centered_instance",
}

Complaint = tuple[str, str]
"""Key, and what about it is wrong and how to right it."""


def check_config(config: TrainingConfig) -> None:
    """Checks the values of a configuration, before anything is read.

    Raises:
        InvalidArgument: CONFIG_INVALID names the first key that is wrong.
    """
    for key, problem in _complaints(config):
        raise InvalidArgument("CONFIG_INVALID", f"{key} {problem}.", key=key)


def max_stride(network: NetworkConfig) -> int:
    """Returns the network's input pixels per pixel of its coarsest features."""
    if isinstance(network, CompactConfig):
        return network.patch << (len(network.filters) - 1)
    return network.max_stride


def _complaints(config: TrainingConfig) -> Iterator[Complaint]:
    yield from _data_complaints(config.data)
    yield from _window_complaints(config.kind, config.data.window_px)
    yield from _augment_complaints(config.augment)
    if config.augment.paste_probability and config.kind not in CROP_KINDS:
        yield (
            "augment.paste_probability",
            f"lays animals without labels over crops, and {config.kind} models see none; set 0",
        )
    yield from _network_complaints(config.network)
    yield from _head_complaints(config.kind, config.heads, config.network)
    yield from _optimization_complaints(config.optimization)
    if config.run.loader_processes is not None:
        yield from _least("run.loader_processes", config.run.loader_processes, 1)
    yield from _least("run.checkpoint_every_epochs", config.run.checkpoint_every_epochs, 1)
    yield from _least("run.image_count", config.run.image_count, 0)
    yield from _least("run.seed", config.run.seed, 0)


def _data_complaints(data: DataConfig) -> Iterator[Complaint]:
    if not data.labels:
        yield "data.labels", "is empty; name a file of labels"
    yield from _least("data.split.seed", data.split.seed, 0)
    for name in ("validation_fraction", "test_fraction"):
        fraction = getattr(data.split, name)
        if not 0 <= fraction <= 0.5:
            yield f"data.split.{name}", f"is {fraction}; give 0 to 0.5"
    if data.limit is not None:
        yield from _least("data.limit", data.limit, 1)
    if data.crop_size_px is not None:
        yield from _least("data.crop_size_px", data.crop_size_px, 1)
    if data.input_scale is not None:
        yield from _positive("data.input_scale", data.input_scale)
    if data.frames and (min(data.frames) < 0 or len(set(data.frames)) != len(data.frames)):
        yield "data.frames", "has a negative index, or one twice; name each labelled frame once"


def _window_complaints(kind: ModelKind, window_px: int | None) -> Iterator[Complaint]:
    if window_px is not None:
        yield from _least("data.window_px", window_px, 0)
    if window_px != 0 and kind not in PARTS_KINDS:
        yield "data.window_px", f"is of bottom-up models, not of {kind}; give 0"


def _augment_complaints(augment: AugmentConfig) -> Iterator[Complaint]:
    for name in ("rotation_deg", "scale", "brightness", "contrast", "gamma"):
        low, high = getattr(augment, name)
        if low > high:
            yield f"augment.{name}", f"is ({low}, {high}); give the smaller number first"
    for name in ("scale", "gamma"):
        yield from _positive(f"augment.{name}", getattr(augment, name)[0])
    yield from _least("augment.contrast", augment.contrast[0], 0)
    for name in ("flip_probability", "paste_probability"):
        if not 0 <= getattr(augment, name) <= 1:
            yield f"augment.{name}", f"is {getattr(augment, name)}; give 0 to 1"
    for name in (
        "translation_px",
        "noise_std",
        "blur_sigma_px",
        "articulation_deg",
        "articulation_scale",
    ):
        yield from _least(f"augment.{name}", getattr(augment, name), 0)


def _network_complaints(network: NetworkConfig) -> Iterator[Complaint]:
    for name in ("max_stride", "output_stride", "stem_stride", "patch"):
        stride = getattr(network, name, 1)
        if stride < 1 or stride.bit_count() != 1:
            yield f"network.{name}", f"is {stride}; give a power of two"
    if network.output_stride > max_stride(network):
        yield (
            "network.output_stride",
            f"is {network.output_stride}, above the maximum stride {max_stride(network)}",
        )
    match network:
        case CompactConfig():
            if not network.filters or min(network.filters) < 1:
                yield "network.filters", f"is {network.filters}; give the channels of each stride"
            if len(network.blocks) != len(network.filters):
                yield (
                    "network.blocks",
                    f"needs one number for each of {len(network.filters)} filters",
                )
        case UNetConfig() | LeapConfig() | HourglassConfig():
            yield from _least("network.filters", network.filters, 1)
        case ResNetConfig() | PretrainedConfig():
            yield from _least("network.decoder_filters", network.decoder_filters, 1)
        case _:
            assert_never(network)


def _head_complaints(
    kind: ModelKind, heads: HeadsConfig, network: NetworkConfig
) -> Iterator[Complaint]:
    for name, head_kind in _HEAD_KINDS.items():
        if getattr(heads, name) is not None and kind != head_kind:
            yield f"heads.{name}", f"is a head of {head_kind} models, not of {kind}; remove it"
    if heads.classes and kind not in ID_KINDS:
        yield "heads.classes", f"are of ID models, not of {kind}; remove them"
    if heads.confmaps.loss == "softmax" and kind not in ONE_PEAK_KINDS:
        yield (
            "heads.confmaps.loss",
            f"softmax fits one animal an image, not {kind}; set sigmoid",
        )
    yield from _positive("heads.confmaps.sigma_map_px", heads.confmaps.sigma_map_px)
    for name in ("confmaps", "pafs", "class_maps"):
        head = getattr(heads, name)
        if head is None:
            continue
        stride = head.output_stride
        if not network.output_stride <= stride <= max_stride(network) or stride.bit_count() != 1:
            yield (
                f"heads.{name}.output_stride",
                f"is {stride}; give a power of two from the network's output_stride "
                f"{network.output_stride} to its maximum stride {max_stride(network)}",
            )
    for name in ("confmaps", "pafs", "class_maps", "class_vectors"):
        if (head := getattr(heads, name)) is not None:
            yield from _least(f"heads.{name}.loss_weight", head.loss_weight, 0)


def _optimization_complaints(optimization: OptimizationConfig) -> Iterator[Complaint]:
    for name in ("batch_size", "accumulation_steps", "epochs", "min_batches_per_epoch"):
        yield from _least(f"optimization.{name}", getattr(optimization, name), 1)
    yield from _positive(
        "optimization.optimizer.learning_rate", optimization.optimizer.learning_rate
    )
    yield from _least("optimization.optimizer.weight_decay", optimization.optimizer.weight_decay, 0)
    for name in ("time_budget_s", "max_gradient_norm"):
        if (value := getattr(optimization, name)) is not None:
            yield from _positive(f"optimization.{name}", value)
    decay = optimization.ema_decay
    if decay is not None and not 0 <= decay < 1:
        yield "optimization.ema_decay", f"is {decay}; give 0 to below 1"


def _least(key: str, value: float, least: float) -> Iterator[Complaint]:
    if not value >= least:
        yield key, f"is {value}; give at least {least}"


def _positive(key: str, value: float) -> Iterator[Complaint]:
    if not 0 < value < math.inf:
        yield key, f"is {value}; give a number above 0"

"""SLEAP's networks and its way of training them.

The paper's settings (Nature Methods 2022, Methods, "Training"): Adam with AMSGrad at 1e-4, halved
when the validation loss stays, early stopping, at least 200 batches of 4 an epoch, 200 epochs at
most, rotations by any angle. Networks and targets are those of the baseline profiles that come
with SLEAP 1.4.1: of a medium receptive field, and of a large one for large animals.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal_training.config import (
    AugmentConfig,
    ClassMapsHead,
    ClassVectorsHead,
    ConfmapsHead,
    DataConfig,
    EarlyStopping,
    HeadsConfig,
    ModelKind,
    OptimizationConfig,
    PafsHead,
    PlateauSchedule,
    TrainingConfig,
    UNetConfig,
)


@dataclass(frozen=True, kw_only=True)
class _Baseline:
    """What differs between the profiles."""

    filters: int
    filters_rate: float
    max_stride: int
    output_stride: int
    input_scale: float = 1.0
    patience_epochs: int = 5
    stopping_epochs: int = 10


_CENTROID = _Baseline(
    filters=16,
    filters_rate=2.0,
    max_stride=16,
    output_stride=2,
    input_scale=0.5,
    stopping_epochs=20,
)
_MEDIUM_CROP = _Baseline(filters=24, filters_rate=2.0, max_stride=16, output_stride=4)
_MEDIUM_FRAME = _Baseline(
    filters=16, filters_rate=2.0, max_stride=32, output_stride=4, patience_epochs=8
)
_LARGE_CROP = _Baseline(filters=24, filters_rate=1.5, max_stride=32, output_stride=4)
_LARGE_FRAME = _Baseline(
    filters=32, filters_rate=1.5, max_stride=64, output_stride=4, patience_epochs=8
)

_MEDIUM: Mapping[ModelKind, _Baseline] = {
    "single_instance": _Baseline(filters=16, filters_rate=2.0, max_stride=16, output_stride=2),
    "centroid": _CENTROID,
    "centered_instance": _MEDIUM_CROP,
    "bottomup": _MEDIUM_FRAME,
    "multiclass_bottomup": _MEDIUM_FRAME,
    "multiclass_centered_instance": _MEDIUM_CROP,
}
_LARGE: Mapping[ModelKind, _Baseline] = {
    "single_instance": _Baseline(filters=32, filters_rate=1.5, max_stride=32, output_stride=4),
    "centroid": _CENTROID,
    "centered_instance": _LARGE_CROP,
    "bottomup": _LARGE_FRAME,
    "multiclass_bottomup": _LARGE_FRAME,
    "multiclass_centered_instance": _LARGE_CROP,
}


def sleap(kind: ModelKind, labels: tuple[str, ...]) -> TrainingConfig:
    """Returns the paper's training with the networks of a medium receptive field."""
    return _config(kind, labels, _MEDIUM[kind])


def sleap_large(kind: ModelKind, labels: tuple[str, ...]) -> TrainingConfig:
    """Returns the paper's training with the networks of a large receptive field."""
    return _config(kind, labels, _LARGE[kind])


def _config(kind: ModelKind, labels: tuple[str, ...], baseline: _Baseline) -> TrainingConfig:
    return TrainingConfig(
        kind=kind,
        data=DataConfig(labels=labels, input_scale=baseline.input_scale),
        augment=AugmentConfig(rotation_deg=(-180.0, 180.0), scale=(1.0, 1.0)),
        network=UNetConfig(
            filters=baseline.filters,
            filters_rate=baseline.filters_rate,
            max_stride=baseline.max_stride,
            output_stride=baseline.output_stride,
        ),
        heads=_heads(kind, baseline.output_stride),
        optimization=OptimizationConfig(
            schedule=PlateauSchedule(patience_epochs=baseline.patience_epochs, min_delta=1e-8),
            early_stopping=EarlyStopping(patience_epochs=baseline.stopping_epochs, min_delta=1e-8),
        ),
    )


def _heads(kind: ModelKind, stride: int) -> HeadsConfig:
    """Returns the heads; those of classes have the paper's weight of 1e-4."""
    return HeadsConfig(
        confmaps=ConfmapsHead(sigma_map_px=2.5, output_stride=stride),
        pafs=PafsHead(sigma_px=75.0, output_stride=2 * stride) if kind == "bottomup" else None,
        class_maps=ClassMapsHead(output_stride=stride) if kind == "multiclass_bottomup" else None,
        class_vectors=ClassVectorsHead() if kind == "multiclass_centered_instance" else None,
    )

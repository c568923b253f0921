"""A small network trained hard: a better model in a fraction of the time."""

from typing import Literal

from shoal_training.config import (
    AugmentConfig,
    ClassMapsHead,
    ClassVectorsHead,
    CompactConfig,
    ConfmapsHead,
    CosineSchedule,
    DataConfig,
    HeadsConfig,
    ModelKind,
    OptimizationConfig,
    OptimizerConfig,
    PafsHead,
    TrainingConfig,
)
from shoal_training.config_checks import CROP_KINDS, ONE_PEAK_KINDS, PARTS_KINDS

_BATCH_SIZES: dict[ModelKind, int] = {
    "centered_instance": 16,
    "multiclass_centered_instance": 16,
    "centroid": 8,
    "bottomup": 8,
    "multiclass_bottomup": 8,
}
"""Of the kinds whose images are small; of whole frames in full size 4 fit the memory."""

_PAFS_WEIGHT = 100.0
"""Fields cover a few hundredths of an image: their mean square is as small."""


def fast(kind: ModelKind, labels: tuple[str, ...]) -> TrainingConfig:
    """Returns the configuration.

    Where an image shows one animal, the maps learn by a softmax over the image, which never drops
    a node; where it shows the nodes of several, by cross-entropy; centroids by squared error, as in
    SLEAP.
    """
    sees_crops = kind in CROP_KINDS
    return TrainingConfig(
        kind=kind,
        data=DataConfig(
            labels=labels,
            input_scale=None if kind == "centroid" else 1.0,
            window_px=None if kind in PARTS_KINDS else 0,
        ),
        augment=_augment(sees_crops=sees_crops),
        network=CompactConfig(),
        heads=_heads(kind),
        optimization=OptimizationConfig(
            batch_size=_BATCH_SIZES.get(kind, 4),
            epochs=30,
            min_batches_per_epoch=100,
            optimizer=OptimizerConfig(
                type="muon",
                learning_rate=2e-3,
                amsgrad=False,
                weight_decay=1e-2,
            ),
            schedule=CosineSchedule(),
            early_stopping=None,
            ema_decay=0.998,
            max_gradient_norm=5.0,
            precision="auto",
        ),
    )


def _augment(*, sees_crops: bool) -> AugmentConfig:
    """Returns what makes a hundred labelled frames say something about another recording."""
    return AugmentConfig(
        scale=(0.86, 1.16),
        translation_px=6.0,
        flip_probability=0.5,
        brightness=(-0.1, 0.1),
        contrast=(0.75, 1.35),
        gamma=(0.67, 1.5),
        noise_std=0.03,
        blur_sigma_px=1.0,
        articulation_deg=15.0 if sees_crops else 0.0,
        articulation_scale=0.12 if sees_crops else 0.0,
        paste_probability=0.5 if sees_crops else 0.0,
    )


def _confmaps(kind: ModelKind) -> ConfmapsHead:
    if kind in ONE_PEAK_KINDS:
        return ConfmapsHead(sigma_map_px=0.75, loss="softmax", output_stride=2)
    loss: Literal["mse", "sigmoid"] = "sigmoid" if kind in PARTS_KINDS else "mse"
    return ConfmapsHead(sigma_map_px=1.5, loss=loss, output_stride=2)


def _heads(kind: ModelKind) -> HeadsConfig:
    return HeadsConfig(
        confmaps=_confmaps(kind),
        pafs=PafsHead(output_stride=4, loss_weight=_PAFS_WEIGHT) if kind == "bottomup" else None,
        class_maps=ClassMapsHead(output_stride=4, loss_weight=1.0)
        if kind == "multiclass_bottomup"
        else None,
        class_vectors=ClassVectorsHead() if kind == "multiclass_centered_instance" else None,
    )

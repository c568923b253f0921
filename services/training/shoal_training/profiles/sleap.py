"""SLEAP's training profiles and `training_config.json` (SLEAP 1.0 to 1.4)."""

import math
from typing import Literal

from shoal_training.config import (
    AugmentConfig,
    DataConfig,
    EarlyStopping,
    HardMining,
    ModelKind,
    MonitorConfig,
    OptimizationConfig,
    OptimizerConfig,
    PlateauSchedule,
    RunConfig,
    SplitConfig,
    TrainingConfig,
)
from shoal_training.config_checks import CROP_KINDS
from shoal_training.profiles.keys import ProfileKeys
from shoal_training.profiles.sleap_backbones import sleap_network
from shoal_training.profiles.sleap_heads import read_heads
from shoal_training.sample_source import CROP_PADDING_PX

KINDS: dict[str, ModelKind] = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "multi_instance": "bottomup",
    "multi_class_bottomup": "multiclass_bottomup",
    "multi_class_topdown": "multiclass_centered_instance",
}
"""Key of SLEAP's head → kind."""

_WITHOUT_MEANING = (
    # The labels are given beside the profile, and bring their skeleton.
    "data.labels",
    # Follow from the network and the labels.
    "data.preprocessing.pad_to_stride",
    "data.preprocessing.target_height",
    "data.preprocessing.target_width",
    "model.base_checkpoint",
    # How samples are brought along; all of them are shuffled here.
    "optimization.online_shuffling",
    "optimization.shuffle_buffer_size",
    "optimization.prefetch",
    # Every frame is validated on once an epoch.
    "optimization.val_batches_per_epoch",
    "optimization.min_val_batches_per_epoch",
    # What is not switched on.
    "optimization.augmentation_config",
    "outputs",
    "name",
    "description",
    "sleap_version",
    "filename",
)


def sleap_config(keys: ProfileKeys, labels: tuple[str, ...]) -> TrainingConfig:
    """Returns the configuration.

    Raises:
        InvalidArgument: PROFILE_INVALID.
    """
    head = keys.the_one("model.heads")
    if head not in KINDS:
        raise keys.refusal("model.heads", f"has {head!r}; known are {', '.join(KINDS)}")
    root = f"model.heads.{head}"
    config = TrainingConfig(
        kind=KINDS[head],
        data=_data(keys, labels, KINDS[head], root),
        augment=_augment(keys),
        network=sleap_network(keys),
        heads=read_heads(keys, root, KINDS[head]),
        optimization=_optimization(keys),
        run=RunConfig(tensorboard=bool(keys.get("outputs.tensorboard.write_logs", True))),
        monitor=_monitor(keys),
        name=str(keys.get("outputs.run_name", "")),
    )
    keys.warn_of_rest(_WITHOUT_MEANING)
    return config


def _data(keys: ProfileKeys, labels: tuple[str, ...], kind: ModelKind, root: str) -> DataConfig:
    scale = keys.number("data.preprocessing.input_scaling", 1.0)
    cropping = "data.instance_cropping"
    padding = keys.whole(f"{cropping}.crop_size_detection_padding", CROP_PADDING_PX)
    crop_size = keys.get(f"{cropping}.crop_size")
    is_crop = kind in CROP_KINDS
    if is_crop and crop_size is None and padding != CROP_PADDING_PX:
        keys.warn(
            f"{cropping}.crop_size_detection_padding",
            f"is {padding}; {CROP_PADDING_PX} px are used, or set data.crop_size_px",
        )
    for name in ("validation_labels", "test_labels"):
        if keys.get(f"data.labels.{name}"):
            keys.warn(f"data.labels.{name}", f"is not used; set data.{name}")
    anchor = (
        keys.get(f"{cropping}.center_on_part")
        or keys.get(f"{root}.anchor_part")
        or keys.get(f"{root}.confmaps.anchor_part")
    )
    return DataConfig(
        labels=labels,
        split=SplitConfig(validation_fraction=keys.number("data.labels.validation_fraction", 0.1)),
        channels=_channels(keys),
        input_scale=scale,
        anchor_part=anchor,
        # SLEAP counts pixels of the scaled frame.
        crop_size_px=math.ceil(crop_size / scale) if is_crop and crop_size else None,
        cache="memory" if keys.get("optimization.preload_data", True) else "none",
    )


def _channels(keys: ProfileKeys) -> Literal[1, 3] | None:
    if keys.get("data.preprocessing.ensure_rgb", False):
        return 3
    return 1 if keys.get("data.preprocessing.ensure_grayscale", False) else None


def _augment(keys: ProfileKeys) -> AugmentConfig:
    root = "optimization.augmentation_config"

    def is_on(name: str) -> bool:
        return bool(keys.get(f"{root}.{name}", False))

    def between(name: str, unit: float = 1.0) -> tuple[float, float]:
        low, high = (f"{root}.{name.format(end)}" for end in ("min", "max"))
        return keys.number(low, 0.0) / unit, keys.number(high, 0.0) / unit

    for name in ("uniform_noise", "random_crop"):
        if is_on(name):
            keys.warn(f"{root}.{name}", "has no counterpart here and is left out")
    if is_on("gaussian_noise") and keys.number(f"{root}.gaussian_noise_mean", 0.0):
        keys.warn(f"{root}.gaussian_noise_mean", "is left out: the noise added here has mean 0")
    if is_on("random_flip") and not keys.get(f"{root}.flip_horizontal", True):
        keys.warn(f"{root}.flip_horizontal", "is false; images are mirrored left to right here")
    noise_std = keys.number(f"{root}.gaussian_noise_stddev", 1.0) / 255
    return AugmentConfig(
        rotation_deg=between("rotation_{}_angle") if is_on("rotate") else (0.0, 0.0),
        scale=between("scale_{}") if is_on("scale") else (1.0, 1.0),
        translation_px=max(map(abs, between("translate_{}"))) if is_on("translate") else 0.0,
        flip_probability=0.5 if is_on("random_flip") else 0.0,
        brightness=between("brightness_{}_val", 255) if is_on("brightness") else (0.0, 0.0),
        gamma=between("contrast_{}_gamma") if is_on("contrast") else (1.0, 1.0),
        noise_std=noise_std if is_on("gaussian_noise") else 0.0,
    )


def _optimization(keys: ProfileKeys) -> OptimizationConfig:
    root = "optimization"
    optimizer = str(keys.get(f"{root}.optimizer", "adam")).lower()
    if optimizer != "adam":
        keys.warn(f"{root}.optimizer", f"is {optimizer!r}; Adam is used")
    epochs = keys.whole(f"{root}.epochs", 100)
    least = keys.whole(f"{root}.min_batches_per_epoch", 200)
    # Of a finished training it is the number that SLEAP has found.
    fixed = keys.whole(f"{root}.batches_per_epoch", least)
    stopping = f"{root}.early_stopping"
    return OptimizationConfig(
        batch_size=keys.whole(f"{root}.batch_size", 8),
        epochs=epochs,
        min_batches_per_epoch=fixed,
        optimizer=OptimizerConfig(learning_rate=keys.number(f"{root}.initial_learning_rate", 1e-4)),
        schedule=_schedule(keys, epochs),
        early_stopping=EarlyStopping(
            patience_epochs=keys.whole(f"{stopping}.plateau_patience", 10),
            min_delta=keys.number(f"{stopping}.plateau_min_delta", 1e-6),
        )
        if keys.get(f"{stopping}.stop_training_on_plateau", True)
        else None,
        hard_mining=hard_mining(keys, f"{root}.hard_keypoint_mining"),
    )


def _schedule(keys: ProfileKeys, epochs: int) -> PlateauSchedule:
    root = "optimization.learning_rate_schedule"
    lowers = keys.get(f"{root}.reduce_on_plateau", True)
    patience = keys.whole(f"{root}.plateau_patience", 5)
    return PlateauSchedule(
        factor=keys.number(f"{root}.reduction_factor", 0.5),
        patience_epochs=patience if lowers else epochs,  # the rate stays
        cooldown_epochs=keys.whole(f"{root}.plateau_cooldown", 3),
        min_delta=keys.number(f"{root}.plateau_min_delta", 1e-6),
        min_learning_rate=keys.number(f"{root}.min_learning_rate", 1e-8),
    )


def hard_mining(keys: ProfileKeys, root: str) -> HardMining | None:
    """Returns the hard keypoint mining of a profile; SLEAP and sleap-nn name it alike."""
    ratio = keys.number(f"{root}.hard_to_easy_ratio", 2.0)
    least = keys.whole(f"{root}.min_hard_keypoints", 2)
    most = keys.get(f"{root}.max_hard_keypoints")
    scale = keys.number(f"{root}.loss_scale", 5.0)
    if not keys.get(f"{root}.online_mining", False):
        return None
    return HardMining(
        hard_to_easy_ratio=ratio, min_hard_nodes=least, max_hard_nodes=most, loss_scale=scale
    )


def _monitor(keys: ProfileKeys) -> MonitorConfig:
    root = "outputs.zmq"
    publish = keys.get(f"{root}.publish_address", "tcp://127.0.0.1:9001")
    control = keys.get(f"{root}.controller_address", "tcp://127.0.0.1:9000")
    return MonitorConfig(
        publish=(publish,) if keys.get(f"{root}.publish_updates", False) else (),
        control=(control,) if keys.get(f"{root}.subscribe_to_controller", False) else (),
    )

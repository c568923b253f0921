"""sleap-nn's YAML configurations (0.0 to 0.3)."""

import math
from typing import Any, Literal

from shoal_training.config import (
    AugmentConfig,
    DataConfig,
    EarlyStopping,
    ModelKind,
    OptimizationConfig,
    OptimizerConfig,
    PlateauSchedule,
    RunConfig,
    SplitConfig,
    TrainingConfig,
)
from shoal_training.config_checks import CROP_KINDS
from shoal_training.profiles.keys import ProfileKeys
from shoal_training.profiles.sleap import hard_mining
from shoal_training.profiles.sleap_backbones import read_unet
from shoal_training.profiles.sleap_heads import read_heads

KINDS: dict[str, ModelKind] = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "bottomup": "bottomup",
    "multi_class_bottomup": "multiclass_bottomup",
    "multi_class_topdown": "multiclass_centered_instance",
}
"""Key of sleap-nn's head → kind."""

_WITHOUT_MEANING = (
    "data_config.train_labels_path",
    "data_config.skeletons",
    "data_config.provider",
    "data_config.user_instances_only",
    "data_config.data_pipeline_fw",
    "data_config.parallel_caching",
    "data_config.cache_workers",
    "data_config.cache_img_path",
    "data_config.use_existing_imgs",
    "data_config.delete_cache_imgs_after_training",
    # Only for videos of several sizes, which are padded here.
    "data_config.preprocessing.max_height",
    "data_config.preprocessing.max_width",
    # A crop holds every animal; a least size is said by data.crop_size_px.
    "data_config.preprocessing.min_crop_size",
    "data_config.augmentation_config",
    "model_config.backbone_config.unet.in_channels",
    "model_config.total_params",
    "trainer_config.train_data_loader",
    "trainer_config.val_data_loader",
    "trainer_config.model_ckpt",
    "trainer_config.trainer_accelerator",
    "trainer_config.trainer_strategy",
    "trainer_config.enable_progress_bar",
    "trainer_config.visualize_preds_during_training",
    "trainer_config.keep_viz",
    "trainer_config.save_ckpt",
    "trainer_config.ckpt_dir",
    "trainer_config.wandb",
    "trainer_config.zmq",
    "trainer_config.lr_scheduler.reduce_lr_on_plateau.threshold_mode",
    "name",
    "description",
    "sleap_nn_version",
    "filename",
)


def sleap_nn_config(keys: ProfileKeys, labels: tuple[str, ...]) -> TrainingConfig:
    """Returns the configuration.

    Raises:
        InvalidArgument: PROFILE_INVALID.
    """
    heads = "model_config.head_configs"
    head = keys.the_one(heads)
    if head not in KINDS:
        raise keys.refusal(heads, f"has {head!r}; known are {', '.join(KINDS)}")
    backbone = keys.the_one("model_config.backbone_config")
    if backbone != "unet":
        raise keys.refusal(
            "model_config.backbone_config", f"has {backbone!r}; import a UNet, or set a recipe"
        )
    _check_weights(keys)
    config = TrainingConfig(
        kind=KINDS[head],
        data=_data(keys, labels, KINDS[head], f"{heads}.{head}"),
        augment=_augment(keys),
        network=read_unet(keys, "model_config.backbone_config.unet"),
        heads=read_heads(keys, f"{heads}.{head}", KINDS[head]),
        optimization=_optimization(keys),
        run=RunConfig(seed=keys.whole("trainer_config.seed", 0)),
        name=str(keys.get("trainer_config.run_name", "")),
    )
    keys.warn_of_rest(_WITHOUT_MEANING)
    return config


def _check_weights(keys: ProfileKeys) -> None:
    if keys.get("model_config.init_weights", "default") not in ("default", "xavier"):
        raise keys.refusal("model_config.init_weights", "is not known")
    for name in ("pretrained_backbone_weights", "pretrained_head_weights"):
        if keys.get(f"model_config.{name}") is not None:
            keys.warn(f"model_config.{name}", "is not used; the weights start at random")


def _data(keys: ProfileKeys, labels: tuple[str, ...], kind: ModelKind, root: str) -> DataConfig:
    for name, ours in (("val_labels_path", "validation_labels"), ("test_file_path", "test_labels")):
        if keys.get(f"data_config.{name}"):
            keys.warn(f"data_config.{name}", f"is not used; set data.{ours}")
    preprocessing = "data_config.preprocessing"
    scale = keys.number(f"{preprocessing}.scale", 1.0)
    crop_size = keys.get(f"{preprocessing}.crop_size")
    is_crop = kind in CROP_KINDS
    channels: Literal[1, 3] | None = None
    if keys.get(f"{preprocessing}.ensure_rgb", False):
        channels = 3
    elif keys.get(f"{preprocessing}.ensure_grayscale", False):
        channels = 1
    return DataConfig(
        labels=labels,
        split=SplitConfig(validation_fraction=keys.number("data_config.validation_fraction", 0.1)),
        channels=channels,
        input_scale=scale,
        anchor_part=keys.get(f"{root}.confmaps.anchor_part"),
        crop_size_px=math.ceil(crop_size) if is_crop and crop_size else None,
    )


def _augment(keys: ProfileKeys) -> AugmentConfig:
    """Returns what is done to every sample; sleap-nn draws whether a step is taken at all."""
    intensity = "data_config.augmentation_config.intensity"
    geometric = "data_config.augmentation_config.geometric"
    is_wanted = bool(keys.get("data_config.use_augmentations_train", True))

    def is_on(root: str, *names: str) -> bool:
        chances = [keys.number(f"{root}.{name}_p", 0.0) for name in names]
        chance = max(chances)
        if is_wanted and 0 < chance < 1:
            keys.warn(f"{root}.{names[0]}_p", f"is {chance}; here it happens to every sample")
        return is_wanted and chance > 0

    def between(root: str, name: str, default: float) -> tuple[float, float]:
        low, high = (keys.get(f"{root}.{name}_{end}", default) for end in ("min", "max"))
        return float(low), float(high)

    for root, name in ((intensity, "uniform_noise"), (geometric, "erase"), (geometric, "mixup")):
        if is_wanted and keys.number(f"{root}.{name}_p", 0.0) > 0:
            keys.warn(f"{root}.{name}_p", "has no counterpart here and is left out")
    shift = max(keys.number(f"{geometric}.translate_{name}", 0.0) for name in ("width", "height"))
    if shift and is_on(geometric, "affine", "translate"):
        keys.warn(
            f"{geometric}.translate_width", "counts parts of the image; set augment.translation_px"
        )
    bright = between(intensity, "brightness", 1.0)
    if is_on(intensity, "brightness"):
        keys.warn(f"{intensity}.brightness_p", f"is a factor {bright}; set augment.brightness")
    contrast_on = is_on(intensity, "contrast")
    rotates, scales = is_on(geometric, "affine", "rotation"), is_on(geometric, "affine", "scale")
    noise_std = keys.number(f"{intensity}.gaussian_noise_std", 0.0)
    return AugmentConfig(
        rotation_deg=between(geometric, "rotation", 0.0) if rotates else (0.0, 0.0),
        scale=between(geometric, "scale", 1.0) if scales else (1.0, 1.0),
        gamma=between(intensity, "contrast", 1.0) if contrast_on else (1.0, 1.0),
        noise_std=noise_std / 255 if is_on(intensity, "gaussian_noise") else 0.0,
    )


def _optimization(keys: ProfileKeys) -> OptimizationConfig:
    root = "trainer_config"
    name = str(keys.get(f"{root}.optimizer_name", "Adam"))
    if name not in ("Adam", "AdamW"):
        raise keys.refusal(f"{root}.optimizer_name", f"is {name!r}; give Adam or AdamW")
    least = keys.whole(f"{root}.min_train_steps_per_epoch", 200)
    epochs = keys.whole(f"{root}.max_epochs", 100)
    stopping = f"{root}.early_stopping"
    return OptimizationConfig(
        batch_size=keys.whole(f"{root}.train_data_loader.batch_size", 4),
        epochs=epochs,
        min_batches_per_epoch=keys.whole(f"{root}.train_steps_per_epoch", least),
        optimizer=OptimizerConfig(
            type="adam" if name == "Adam" else "adamw",
            learning_rate=keys.number(f"{root}.optimizer.lr", 1e-3),
            amsgrad=bool(keys.get(f"{root}.optimizer.amsgrad", False)),
        ),
        schedule=_schedule(keys, epochs),
        early_stopping=EarlyStopping(
            patience_epochs=keys.whole(f"{stopping}.patience", 1),
            min_delta=keys.number(f"{stopping}.min_delta", 0.0),
        )
        if keys.get(f"{stopping}.stop_training_on_plateau", False)
        else None,
        hard_mining=hard_mining(keys, f"{root}.online_hard_keypoint_mining"),
    )


def _schedule(keys: ProfileKeys, epochs: int) -> PlateauSchedule:
    root = "trainer_config.lr_scheduler"
    plateau: Any = keys.get(f"{root}.reduce_lr_on_plateau")
    root = f"{root}.reduce_lr_on_plateau"
    return PlateauSchedule(
        factor=keys.number(f"{root}.factor", 0.1),
        # Without it the rate stays (other schedules are warned of by their keys).
        patience_epochs=keys.whole(f"{root}.patience", 10) if plateau is not None else epochs,
        cooldown_epochs=keys.whole(f"{root}.cooldown", 0),
        min_delta=keys.number(f"{root}.threshold", 1e-4),
        min_learning_rate=keys.number(f"{root}.min_lr", 0.0),
    )

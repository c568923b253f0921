"""What a sleap-nn model was trained for, read from `training_config.yaml`."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from shoal_common.inference.contract import CROP_STAGES
from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.importing.config_numbers import positive
from shoal_serving.importing.torch_backbone import Backbone
from shoal_serving.importing.torch_convnext import encode_convnext
from shoal_serving.importing.torch_files import CONFIG_FILE
from shoal_serving.importing.torch_heads import TorchHead, read_classes, read_heads
from shoal_serving.importing.torch_patches import PatchBackbone
from shoal_serving.importing.torch_skeleton import read_skeleton
from shoal_serving.importing.torch_swin import encode_swin
from shoal_serving.importing.torch_unet import UNet

STAGE_NAMES = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "bottomup": "bottomup",
    "multi_class_bottomup": "multiclass_bottomup",
    "multi_class_topdown": "multiclass_centered_instance",
}
"""Key of the head in sleap-nn's configuration → name of the stage here."""


BACKBONES: Mapping[str, Callable[[Mapping[str, Any]], Backbone]] = {
    "unet": UNet.parse,
    "convnext": partial(PatchBackbone.parse, encode_convnext),
    "swint": partial(PatchBackbone.parse, encode_swin),
}
"""Key of the backbone in sleap-nn's configuration → what reads it."""

_UNREADABLE = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    yaml.YAMLError,
)
"""What files that are no configuration raise."""


@dataclass(frozen=True)
class TorchConfig:
    """The parts of sleap-nn's configuration that serving needs."""

    folder: Path
    stage: str
    skeleton: Skeleton
    """Nodes in the order of the head's channels; of a centroid model: its one point."""
    classes: tuple[str, ...]
    anchor_part: str | None
    target_size_px: tuple[int, int] | None
    """(height, width) that training fitted all frames to; None: they kept their size."""
    input_scale: float
    crop_size_px: int | None
    backbone: Backbone
    heads: tuple[TorchHead, ...]
    sees_bgr: bool
    """Whether colour frames were blue, green, red in training.

    So it was as long as sleap-io returned frames as OpenCV reads them: up to its version 0.5.2,
    which is older than sleap-nn 0.0.2. Later models see red, green, blue.
    """
    sleap_nn_version: str
    """Empty where the file does not say."""


def read_torch_config(folder: Path) -> TorchConfig:
    """Returns what a model folder's configuration says.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_CONFIG_INVALID (no YAML, or a key is missing)
            or MODEL_KIND_UNSUPPORTED (a kind of model or backbone that is not imported).
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{folder} has no {CONFIG_FILE}; give the folder that sleap-nn's training made.",
            file=path,
        )
    try:
        return _parse(folder, yaml.safe_load(path.read_bytes()))
    except _UNREADABLE as error:
        problem = " ".join(str(error).split())
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{path} cannot be read ({type(error).__name__}: {problem}); copy it from the "
            "training run again.",
            file=path,
        ) from error


def _parse(folder: Path, config: Mapping[str, Any]) -> TorchConfig:
    model = config["model_config"]
    kind, head = _only_one("head", model["head_configs"])
    if kind not in STAGE_NAMES:
        raise _unsupported(
            folder, f"is a model of kind {kind!r}", f"one of {', '.join(STAGE_NAMES)}"
        )
    if not head.get("class_vectors", {}).get("global_pool", True):
        raise _unsupported(
            folder, "has class vectors with global_pool false", "one trained with global_pool true"
        )
    preprocessing = config["data_config"]["preprocessing"]
    skeleton = read_skeleton(config["data_config"], kind, head)
    classes = read_classes(head)
    stage = STAGE_NAMES[kind]
    release = _release(config)
    return TorchConfig(
        folder=folder,
        stage=stage,
        skeleton=skeleton,
        classes=classes,
        anchor_part=head["confmaps"].get("anchor_part"),
        target_size_px=_target_size(preprocessing),
        input_scale=positive(preprocessing["scale"]),
        crop_size_px=_crop_size(folder, stage, preprocessing, release < (0, 1)),
        backbone=_backbone(folder, model["backbone_config"]),
        heads=read_heads(stage, head, skeleton, classes),
        sees_bgr=release < (0, 0, 2),
        sleap_nn_version=str(config.get("sleap_nn_version") or ""),
    )


def _release(config: Mapping[str, Any]) -> tuple[float, ...]:
    """Returns the numbers of the version, (0, 3, 5); what does not say is taken to be later."""
    version = re.match(r"(\d+)\.(\d+)\.(\d+)", str(config.get("sleap_nn_version") or ""))
    return tuple(map(int, version.groups())) if version else (math.inf,)


def _only_one(what: str, choices: Mapping[str, Any]) -> tuple[str, Any]:
    chosen = [(name, choice) for name, choice in choices.items() if choice is not None]
    if len(chosen) != 1:
        raise ValueError(f"{len(chosen)} {what}s are configured")
    return chosen[0]


def _unsupported(folder: Path, problem: str, cure: str) -> InvalidArgument:
    return InvalidArgument(
        "MODEL_KIND_UNSUPPORTED",
        f"{folder} {problem}, which cannot be imported; give {cure}.",
        folder=folder,
    )


def _backbone(folder: Path, backbones: Mapping[str, Any]) -> Backbone:
    name, backbone = _only_one("backbone", backbones)
    if name not in BACKBONES:
        raise _unsupported(
            folder, f"has a {name!r} backbone", f"a model with one of {', '.join(BACKBONES)}"
        )
    if backbone.get("stacks", 1) != 1:
        # sleap-nn can describe such a network, but hands the second stack what it cannot take.
        raise _unsupported(
            folder,
            f"has a backbone with stacks {backbone['stacks']!r}",
            "one trained with stacks 1",
        )
    return BACKBONES[name](backbone)


def _target_size(preprocessing: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = preprocessing.get("max_height"), preprocessing.get("max_width")
    if height is None or width is None:
        return None
    return int(positive(height)), int(positive(width))


def _crop_size(
    folder: Path, stage: str, preprocessing: Mapping[str, Any], before_0_1: bool
) -> int | None:
    """Returns the side of crops in full-frame pixels.

    Before version 0.1.0 training scaled the frame and then cut: the configuration counts pixels
    of the scaled frame. Version 0.0.1 calls the size `crop_hw`.
    """
    if stage not in CROP_STAGES:
        return None
    size = preprocessing.get("crop_size") or preprocessing.get("crop_hw")
    height, width = size if isinstance(size, list) else (size, size)
    if height is None:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{folder}/{CONFIG_FILE} has no data_config.preprocessing.crop_size; give the folder "
            "of the finished training, not the profile it started from.",
            folder=folder,
        )
    if height != width:
        raise _unsupported(
            folder, f"sees crops of {height} by {width} pixels", "one trained with square crops"
        )
    if preprocessing.get("crop_mode", "fixed") != "fixed":
        raise _unsupported(
            folder,
            f"sees crops of crop_mode {preprocessing['crop_mode']!r}",
            "one trained with crop_mode 'fixed'",
        )
    scale = positive(preprocessing["scale"]) if before_0_1 else 1.0
    return math.ceil(positive(height) / scale)

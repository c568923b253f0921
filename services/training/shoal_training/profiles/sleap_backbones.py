"""Networks, as SLEAP's profiles describe them."""

import re
from typing import Literal

from shoal_training.config import (
    HourglassConfig,
    LeapConfig,
    NetworkConfig,
    PretrainedConfig,
    ResNetConfig,
    UNetConfig,
)
from shoal_training.profiles.keys import ProfileKeys

_ROOT = "model.backbone"

_ENCODERS = {
    "mobilenet": "mobilenetv1_100",
    "mobilenetv2": "mobilenetv2_100",
    "inceptionv3": "inception_v3",
    "inceptionresnetv2": "inception_resnet_v2",
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x4d",
}
"""Name of SLEAP's encoder → of timm's, where they differ by more than an underscore."""


def sleap_network(keys: ProfileKeys) -> NetworkConfig:
    """Returns the network.

    Raises:
        InvalidArgument: PROFILE_INVALID when it is none of SLEAP's.
    """
    name = keys.the_one(_ROOT)
    root = f"{_ROOT}.{name}"
    match name:
        case "unet":
            return read_unet(keys, root)
        case "leap":
            return LeapConfig(
                filters=keys.whole(f"{root}.filters", 64),
                filters_rate=keys.number(f"{root}.filters_rate", 2.0),
                max_stride=keys.whole(f"{root}.max_stride", 8),
                output_stride=keys.whole(f"{root}.output_stride", 1),
                upsampling=upsampling(keys, f"{root}.up_interpolate"),
            )
        case "hourglass":
            return HourglassConfig(
                filters=keys.whole(f"{root}.filters", 256),
                filter_increase=keys.whole(f"{root}.filter_increase", 128),
                max_stride=keys.whole(f"{root}.max_stride", 64),
                output_stride=keys.whole(f"{root}.output_stride", 4),
                stem_stride=keys.whole(f"{root}.stem_stride", 4),
                stacks=keys.whole(f"{root}.stacks", 3),
            )
        case "resnet":
            return _resnet(keys, root)
        case "pretrained_encoder":
            return _pretrained(keys, root)
    raise keys.refusal(_ROOT, f"has {name!r}, which is none of SLEAP's networks")


def read_unet(keys: ProfileKeys, root: str) -> UNetConfig:
    """Returns a UNet; SLEAP and sleap-nn name its numbers alike."""
    if keys.get(f"{root}.block_contraction", False):
        raise keys.refusal(f"{root}.block_contraction", "is true, which is another network")
    kernel = keys.whole(f"{root}.kernel_size", 3)
    if kernel != 3:
        raise keys.refusal(f"{root}.kernel_size", f"is {kernel}; convolutions are 3 x 3 here")
    return UNetConfig(
        filters=keys.whole(f"{root}.filters", 64),
        filters_rate=keys.number(f"{root}.filters_rate", 2.0),
        max_stride=keys.whole(f"{root}.max_stride", 16),
        output_stride=keys.whole(f"{root}.output_stride", 1),
        stem_stride=keys.whole(f"{root}.stem_stride", 1),
        middle_block=bool(keys.get(f"{root}.middle_block", True)),
        convolutions_per_block=keys.whole(f"{root}.convs_per_block", 2),
        upsampling=upsampling(keys, f"{root}.up_interpolate"),
        stacks=keys.whole(f"{root}.stacks", 1),
    )


def upsampling(keys: ProfileKeys, key: str) -> Literal["bilinear", "transposed"]:
    """Returns how a decoder widens its maps."""
    return "bilinear" if keys.get(key, False) else "transposed"


def _resnet(keys: ProfileKeys, root: str) -> ResNetConfig:
    version = str(keys.get(f"{root}.version", "ResNet50")).lower()
    if version not in ("resnet50", "resnet101", "resnet152"):
        raise keys.refusal(f"{root}.version", f"is {version!r}, which is not known")
    if keys.get(f"{root}.weights", "random") != "random":
        keys.warn(f"{root}.weights", "are not used; the weights start at random")
    up = f"{root}.upsampling"
    method = keys.get(f"{up}.method", "interpolation")
    skips = {None: "none", "add": "add", "concatenate": "concatenate"}
    skip = keys.get(f"{up}.skip_connections")
    if skip not in skips:
        raise keys.refusal(f"{up}.skip_connections", f"is {skip!r}, which is not known")
    return ResNetConfig(
        version=version,  # type: ignore[arg-type]  # checked above
        max_stride=keys.whole(f"{root}.max_stride", 32),
        output_stride=keys.whole(f"{root}.output_stride", 4),
        decoder_filters=keys.whole(f"{up}.filters", 64),
        decoder_filters_rate=keys.number(f"{up}.filters_rate", 1.0),
        upsampling="bilinear" if method == "interpolation" else "transposed",
        skip=skips[skip],  # type: ignore[arg-type]  # values of the table
    )


def _pretrained(keys: ProfileKeys, root: str) -> PretrainedConfig:
    encoder = str(keys.get(f"{root}.encoder", "efficientnetb0"))
    if keys.get(f"{root}.pretrained", True):
        keys.warn(f"{root}.pretrained", "needs its weights in a file; set network.weights_file")
    return PretrainedConfig(
        # timm writes efficientnet_b0 for efficientnetb0.
        encoder=_ENCODERS.get(encoder, re.sub(r"^efficientnetb", "efficientnet_b", encoder)),
        output_stride=keys.whole(f"{root}.output_stride", 2),
        decoder_filters=keys.whole(f"{root}.decoder_filters", 256),
        decoder_filters_rate=keys.number(f"{root}.decoder_filters_rate", 1.0),
    )

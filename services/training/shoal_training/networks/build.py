"""From a configuration and heads to a network."""

from collections.abc import Sequence
from typing import assert_never

from shoal_training.config import (
    CompactConfig,
    HourglassConfig,
    LeapConfig,
    NetworkConfig,
    PretrainedConfig,
    ResNetConfig,
    UNetConfig,
)
from shoal_training.heads import HeadSpec
from shoal_training.networks.compact import Compact
from shoal_training.networks.hourglass import Hourglass
from shoal_training.networks.leap import Leap
from shoal_training.networks.pose_network import PoseNetwork
from shoal_training.networks.pretrained import Pretrained
from shoal_training.networks.pyramid import Backbone
from shoal_training.networks.resnet import ResNet
from shoal_training.networks.unet import UNet


def build_network(config: NetworkConfig, channels: int, heads: Sequence[HeadSpec]) -> PoseNetwork:
    """Returns the network with random weights (of torch's current seed).

    Args:
        config: The backbone.
        channels: Of the images, 1 (gray) or 3 (RGB).
        heads: What the network says.

    Raises:
        InvalidArgument: NETWORK_INVALID when strides or sizes do not fit one another; of
            pretrained encoders also WEIGHTS_INVALID.
        FailedPrecondition: BACKBONES_MISSING when a pretrained encoder is named without timm.
    """
    return PoseNetwork(_backbone(config, channels), channels, heads)


def _backbone(config: NetworkConfig, channels: int) -> Backbone:
    match config:
        case UNetConfig():
            return UNet(config, channels)
        case LeapConfig():
            return Leap(config, channels)
        case HourglassConfig():
            return Hourglass(config, channels)
        case ResNetConfig():
            return ResNet(config, channels)
        case PretrainedConfig():
            return Pretrained(config, channels)
        case CompactConfig():
            return Compact(config, channels)
        case _:
            assert_never(config)

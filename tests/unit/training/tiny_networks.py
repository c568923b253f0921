"""Every kind of network, as small as it gets, with heads of every kind of output."""

from collections.abc import Mapping

import torch

from shoal_training.config import (
    CompactConfig,
    HourglassConfig,
    LeapConfig,
    NetworkConfig,
    ResNetConfig,
    UNetConfig,
)
from shoal_training.heads import HeadSpec
from shoal_training.networks import PoseNetwork, build_network

STRIDE = 4
HEADS = (
    HeadSpec("MultiInstanceConfmapsHead", 3, STRIDE),
    HeadSpec("ClassMapsHead", 2, STRIDE, output="sigmoid"),
)
SOFTMAX_HEADS = (
    HeadSpec("CenteredInstanceConfmapsHead", 3, STRIDE, output="spatial_softmax", sigma_map_px=1.5),
    HeadSpec("ClassVectorsHead", 2, 1, is_map=False, output="softmax", layers=(8, 8)),
)

CONFIGS: Mapping[str, NetworkConfig] = {
    "unet": UNetConfig(filters=4, max_stride=8, output_stride=STRIDE),
    "unet_finer": UNetConfig(filters=4, max_stride=8, output_stride=2, upsampling="transposed"),
    "unet_stem": UNetConfig(filters=4, max_stride=8, output_stride=2, stem_stride=2),
    "unet_stacks": UNetConfig(filters=4, max_stride=8, output_stride=4, stem_stride=4, stacks=2),
    "unet_added": UNetConfig(
        filters=4, max_stride=16, output_stride=2, skip="add", middle_block=False
    ),
    "leap": LeapConfig(filters=4, output_stride=2),
    "hourglass": HourglassConfig(
        stem_filters=4, filters=8, filter_increase=4, max_stride=16, stacks=2
    ),
    "compact": CompactConfig(filters=(8, 12), blocks=(1, 1), up_blocks=(1,)),
    "resnet": ResNetConfig(max_stride=8, decoder_filters=8),
}


def tiny_network(name: str, heads: tuple[HeadSpec, ...] = HEADS, channels: int = 1) -> PoseNetwork:
    torch.manual_seed(0)
    return build_network(CONFIGS[name], channels, heads).eval()

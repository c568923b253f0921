"""How much of the image one pixel of the deepest feature sees.

The paper (Nature Methods 2022, Methods, "Receptive field") prints the product over j ≤ i; correct,
and in SLEAP's software, is 1 + Σᵢ (Kᵢ − 1) · Πⱼ﹤ᵢ Sⱼ over the encoder's layers with kernels K and
strides S. A dilated kernel counts as (K − 1) · dilation + 1. Like the paper and SLEAP's window,
`receptive_field_px` counts the encoder down to its last pooling, not the middle block behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from shoal_training.networks.leap import CONVOLUTIONS_PER_BLOCK
from shoal_training.networks.resnet import BLOCK_COUNTS
from shoal_training.networks.strides import doublings

MAX_STRIDES = (8, 16, 32, 64)
"""Among these a maximum stride is suggested."""


@dataclass(frozen=True)
class Window:
    """A layer as the formula sees it: a square window that moves over what is before it."""

    kernel_size: int
    stride: int = 1
    dilation: int = 1


def field_of(layers: Sequence[Window]) -> int:
    """Returns the side, in network input pixels, of what one pixel behind the layers sees."""
    side, step = 1, 1
    for layer in layers:
        side += (layer.kernel_size - 1) * layer.dilation * step
        step *= layer.stride
    return side


def receptive_field_px(config: NetworkConfig) -> int | None:
    """Returns the encoder's receptive field in network input pixels; None: not known (timm).

    Raises:
        InvalidArgument: NETWORK_INVALID when strides do not fit one another.
    """
    match config:
        case UNetConfig():
            return field_of(list(_unet(config)))
        case LeapConfig():
            blocks = doublings("network.max_stride", 1, config.max_stride)
            return field_of(_block(3, CONVOLUTIONS_PER_BLOCK) * blocks)
        case HourglassConfig():
            return field_of(list(_hourglass(config)))
        case ResNetConfig():
            return field_of(list(_resnet(config)))
        case CompactConfig():
            return field_of(list(_compact(config)))
        case PretrainedConfig():
            return None
        case _:
            assert_never(config)


def suggest_max_stride(
    animal_size_px: float,
    *,
    convolutions_per_block: int = 2,
    max_strides: Sequence[int] = MAX_STRIDES,
) -> int:
    """Returns the least maximum stride of a UNet that sees a whole animal at once.

    A larger one costs time and finds no more (paper, figure 4c); an animal larger than every
    field gets the largest stride: scale the images down then.

    Args:
        animal_size_px: Side of the animal's bounding box in network input pixels.
        convolutions_per_block: Of the UNet.
        max_strides: What to choose from, ascending.
    """
    for max_stride in max_strides:
        config = UNetConfig(max_stride=max_stride, convolutions_per_block=convolutions_per_block)
        if field_of(list(_unet(config))) >= animal_size_px:
            return max_stride
    return max_strides[-1]


def _block(kernel_size: int, count: int) -> list[Window]:
    """Returns convolutions and 2×2 pooling."""
    return [Window(kernel_size)] * count + [Window(2, 2)]


def _unet(config: UNetConfig) -> Iterator[Window]:
    convs = config.convolutions_per_block
    for _ in range(doublings("network.stem_stride", 1, config.stem_stride)):
        yield from _block(7, convs)
    for _ in range(doublings("network.max_stride", config.stem_stride, config.max_stride)):
        yield from _block(3, convs)


def _hourglass(config: HourglassConfig) -> Iterator[Window]:
    yield Window(7, 2 if config.stem_stride == 4 else 1)
    yield Window(3)
    yield Window(2, 2 if config.stem_stride > 1 else 1)
    yield Window(3)
    for _ in range(doublings("network.max_stride", config.stem_stride, config.max_stride)):
        yield from (Window(2, 2), Window(3))


def _resnet(config: ResNetConfig) -> Iterator[Window]:
    yield from (Window(7, 2), Window(3, 2))
    stride, dilation = 4, 1
    for stage, count in enumerate(BLOCK_COUNTS[config.version]):
        step = 2 if stage and stride < config.max_stride else 1
        behind = dilation * (2 if stage and step == 1 else 1)
        yield from (Window(1, step), Window(3, 1, dilation))
        yield from [Window(3, 1, behind)] * (count - 1)
        stride, dilation = stride * step, behind


def _compact(config: CompactConfig) -> Iterator[Window]:
    yield from (Window(config.patch, config.patch), Window(3))
    for level, count in enumerate(config.blocks):
        if level:
            yield from (Window(3, 2), Window(3))
        yield from [Window(3)] * (2 * (count - 1 if level else count))

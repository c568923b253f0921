"""What every backbone is: a network from images to features of several strides.

Axis legend: B images, C channels, H W network input pixels, h w pixels of a feature.
"""

from typing import NamedTuple

from torch import Tensor, nn


class Pyramid(NamedTuple):
    """The features of one stack on which heads may stand."""

    deepest: Tensor
    """What the decoder starts from; class vectors stand on it."""
    by_stride: dict[int, Tensor]
    """Network input pixels per pixel → feature [B, C, h, w]."""


class Backbone(nn.Module):
    """A network from images [B, C, H, W] to a pyramid for each of its stacks, first one first.

    H and W are multiples of `max_stride`.
    """

    max_stride: int
    stack_count: int = 1
    deepest_channels: int
    channels_by_stride: dict[int, int]
    """Stride → channels of the features that `forward` returns for each stack."""

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of every stack."""
        raise NotImplementedError

"""From the deepest feature back to larger ones, with the encoder's features beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor, nn

from shoal_training.networks.convolutions import Order, conv_block, norm
from shoal_training.networks.pyramid import Pyramid
from shoal_training.networks.upsampling import Interpolation, TransposedConv, Upsampling

Skip = Literal["concatenate", "add", "none"]


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """How a decoder's blocks are made; one block for each of `filters`."""

    filters: tuple[int, ...]
    """Channels of each block, deepest first."""
    upsampling: Upsampling
    skip: Skip
    convolution_count: int = 2
    """Convolutions after each doubling, at least 1."""
    order: Order = "plain"
    transposed_kernel_size: int = 3


class DecoderBlock(nn.Module):
    """Doubles a feature, joins the encoder's feature of that size, and refines both."""

    def __init__(self, spec: DecoderSpec, channels: int, filters: int, skip_channels: int) -> None:
        """Takes the channels of what comes in, of what goes out, and of the skip (0: none)."""
        super().__init__()
        self.up, joined = _doubling(spec, channels, filters)
        self._joins_channels = skip_channels > 0 and spec.skip == "concatenate"
        self.skip: nn.Module = nn.Identity()
        if self._joins_channels:
            joined += skip_channels
        elif skip_channels not in (0, joined):
            self.skip = nn.Conv2d(skip_channels, joined, 1)
        self.refine = conv_block(joined, filters, spec.convolution_count, order=spec.order)

    def forward(self, feature_BChw: Tensor, skip_BCHW: Tensor | None) -> Tensor:
        """Returns [B, filters, 2 h, 2 w]; `skip_BCHW` is of that height and width."""
        feature = self.up(feature_BChw)
        if skip_BCHW is not None:
            skip = self.skip(skip_BCHW)
            feature = torch.cat([skip, feature], 1) if self._joins_channels else skip + feature
        refined: Tensor = self.refine(feature)
        return refined


class Decoder(nn.Module):
    """Blocks that double the size, from the deepest stride to the output stride.

    Where the encoder has a feature of the new size (and the skip is not "none"), it is put
    before the doubled one, or added to it after a 1×1 convolution that matches its channels.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        channels: int,
        stride: int,
        skip_channels: Mapping[int, int],
    ) -> None:
        """Takes the deepest feature's channels and stride, and stride → channels of skips."""
        super().__init__()
        self._stride = stride
        self.channels_by_stride = {stride: channels}
        blocks = []
        for filters in spec.filters:
            stride //= 2
            beside = 0 if spec.skip == "none" else skip_channels.get(stride, 0)
            blocks.append(DecoderBlock(spec, channels, filters, beside))
            channels = filters
            self.channels_by_stride[stride] = channels
        self.blocks = nn.ModuleList(blocks)
        self._skip_strides = frozenset() if spec.skip == "none" else frozenset(skip_channels)

    def forward(self, deepest: Tensor, skips: Mapping[int, Tensor]) -> Pyramid:
        """Returns the features from the deepest one to the output; `skips` are by stride."""
        features = {self._stride: deepest}
        stride, feature = self._stride, deepest
        for block in self.blocks:
            stride //= 2
            skip = skips[stride] if stride in self._skip_strides else None
            feature = block(feature, skip)
            features[stride] = feature
        return Pyramid(deepest, features)


def _doubling(spec: DecoderSpec, channels: int, filters: int) -> tuple[nn.Module, int]:
    """Returns what doubles a feature, and how many channels come out of it."""
    match spec.upsampling:
        case "bilinear":
            return Interpolation("bilinear"), channels
        case "transposed":
            layers: Sequence[nn.Module] = (
                TransposedConv(channels, filters, spec.transposed_kernel_size),
                *([norm(filters)] if spec.order == "norm_first" else []),
                nn.ReLU(),
            )
            return nn.Sequential(*layers), filters
        case _:
            assert_never(spec.upsampling)

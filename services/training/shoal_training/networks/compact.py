"""Shoal's small residual U-Net: coarse pixels in, most of the work at coarse strides.

Axis legend: B images, C channels, H W network input pixels, h w pixels of a feature.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from shoal_training.config import CompactConfig
from shoal_training.networks.pyramid import Backbone, Pyramid


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a short cut (He et al., CVPR 2016).

    The second normalisation starts at 0, so that the block starts as its short cut
    (Goyal et al., arXiv:1706.02677).
    """

    def __init__(self, channels: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(filters)
        self.conv1 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        nn.init.zeros_(self.norm1.weight)
        changes = stride != 1 or channels != filters
        self.short_cut = _pointwise(channels, filters, stride) if changes else nn.Identity()

    def forward(self, feature_BChw: Tensor) -> Tensor:
        """Returns [B, filters, h / stride, w / stride]."""
        inner = functional.relu(self.norm0(self.conv0(feature_BChw)))
        return functional.relu(self.norm1(self.conv1(inner)) + self.short_cut(feature_BChw))


class Compact(Backbone):
    """Unshuffled pixels, residual blocks down and up, added skips; then finer by shuffling.

    Squares of patch × patch pixels become channels, so that the first convolution already
    works at stride `patch`; the output stride, where it is finer, is reached in the opposite
    way.
    """

    def __init__(self, config: CompactConfig, channels: int) -> None:
        """Takes the channels of the images."""
        super().__init__()
        first, *others = config.filters
        self._strides = [config.patch * 2**level for level in range(len(config.filters))]
        self.max_stride = self._strides[-1]
        self.deepest_channels = config.filters[-1]
        self.stem = nn.Sequential(
            OrderedDict(
                patches=nn.PixelUnshuffle(config.patch),
                conv=nn.Conv2d(channels * config.patch**2, first, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(first),
                relu=nn.ReLU(),
            )
        )
        self.down = nn.ModuleList()
        for level, (filters, count) in enumerate(zip(config.filters, config.blocks, strict=True)):
            source = config.filters[max(level - 1, 0)]
            blocks = [ResidualBlock(source, filters, 2 if level else 1)]
            blocks += [ResidualBlock(filters, filters) for _ in range(count - 1)]
            self.down.append(nn.Sequential(*blocks))
        self.lateral = nn.ModuleList()
        self.up = nn.ModuleList()
        for level in reversed(range(len(others))):
            filters = config.filters[level]
            self.lateral.append(_pointwise(config.filters[level + 1], filters))
            blocks = [ResidualBlock(filters, filters) for _ in range(config.up_blocks[level])]
            self.up.append(nn.Sequential(*blocks))
        self.channels_by_stride = dict(zip(self._strides, config.filters, strict=True))
        self._finer = config.patch // config.output_stride
        if self._finer > 1:
            self.fine = _finer(first, config.fine_filters, self._finer)
            self.channels_by_stride[config.output_stride] = config.fine_filters
        self._output_stride = config.output_stride

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of the only stack."""
        feature = self.stem(images_BCHW)
        skips = []
        for blocks in self.down:
            feature = blocks(feature)
            skips.append(feature)
        deepest = skips.pop()
        features = {self.max_stride: deepest}
        strides = reversed(self._strides[:-1])
        for stride, lateral, blocks in zip(strides, self.lateral, self.up, strict=True):
            doubled = functional.interpolate(lateral(feature), scale_factor=2.0, mode="nearest")
            feature = blocks(doubled + skips.pop())
            features[stride] = feature
        if self._finer > 1:
            features[self._output_stride] = self.fine(feature)
        return [Pyramid(deepest, features)]


def _pointwise(channels: int, filters: int, stride: int = 1) -> nn.Sequential:
    """Returns a 1×1 convolution and its normalisation."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, filters, 1, stride, bias=False), norm=nn.BatchNorm2d(filters)
        )
    )


def _finer(channels: int, filters: int, factor: int) -> nn.Sequential:
    """Returns what turns channels into factor × factor as many pixels."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, filters * factor**2, 1, bias=False),
            norm=nn.BatchNorm2d(filters * factor**2),
            pixels=nn.PixelShuffle(factor),
            relu=nn.ReLU(),
        )
    )

"""Shoal's small residual U-Net: coarse pixels in, most of the work at coarse strides.

Axis legend: B images, C channels, H W network input pixels, h w pixels of a feature.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from shoal_core.errors import InvalidArgument
from shoal_training.config import CompactConfig
from shoal_training.networks.pyramid import Backbone, Pyramid
from shoal_training.networks.strides import doublings


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a short cut (He et al., CVPR 2016).

    The second normalisation begins at 0, so that the block begins as its short cut (Goyal et
    al., arXiv:1706.02677).
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

    Squares of patch × patch pixels become channels, so that the first convolution already works
    at stride `patch`. The output stride, where it is finer, is reached in the opposite way.
    """

    def __init__(self, config: CompactConfig, channels: int) -> None:
        """Takes the channels of the images.

        Raises:
            InvalidArgument: NETWORK_INVALID when strides or numbers of blocks do not fit.
        """
        super().__init__()
        _check(config)
        filters = config.filters
        strides = [config.patch << level for level in range(len(filters))]
        self.max_stride, self.deepest_channels = strides[-1], filters[-1]
        self.channels_by_stride = dict(zip(strides, filters, strict=True))
        self.stem = _stem(channels, filters[0], config.patch)
        self.down = nn.ModuleList([_same(filters[0], config.blocks[0])])
        self.lateral, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(1, len(filters)):
            first = ResidualBlock(filters[level - 1], filters[level], 2)
            others = _same(filters[level], config.blocks[level] - 1)
            self.down.append(nn.Sequential(first, *others))
        for level in reversed(range(len(filters) - 1)):
            self.lateral.append(_pointwise(filters[level + 1], filters[level]))
            self.up.append(_same(filters[level], config.up_blocks[level]))
        self._strides_up = strides[-2::-1]
        self.fine: nn.Module | None = None
        if config.output_stride < config.patch:
            factor = config.patch // config.output_stride
            self.fine = _finer(filters[0], config.fine_filters, factor)
            self.channels_by_stride[config.output_stride] = config.fine_filters
        self._output_stride = config.output_stride

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of the one stack."""
        feature = self.stem(images_BCHW)
        skips = []
        for blocks in self.down:
            feature = blocks(feature)
            skips.append(feature)
        deepest = skips.pop()
        features = {self.max_stride: deepest}
        for stride, lateral, blocks in zip(self._strides_up, self.lateral, self.up, strict=True):
            doubled = functional.interpolate(lateral(feature), scale_factor=2.0, mode="nearest")
            feature = blocks(doubled + skips.pop())
            features[stride] = feature
        if self.fine is not None:
            features[self._output_stride] = self.fine(feature)
        return [Pyramid(deepest, features)]


def _check(config: CompactConfig) -> None:
    doublings("network.patch", config.output_stride, config.patch)
    levels = len(config.filters)
    if (
        levels == len(config.blocks) == len(config.up_blocks) + 1
        and min((*config.blocks, *config.up_blocks)) >= 0
        and all(config.blocks[1:])
    ):
        return
    raise InvalidArgument(
        "NETWORK_INVALID",
        f"A compact network of {levels} strides needs as many network.blocks (none of them 0 but "
        "the first) and one network.up_blocks less; "
        f"got {config.blocks} and {config.up_blocks}.",
    )


def _same(filters: int, count: int) -> nn.Sequential:
    """Returns blocks that keep channels and stride."""
    return nn.Sequential(*(ResidualBlock(filters, filters) for _ in range(count)))


def _stem(channels: int, filters: int, patch: int) -> nn.Sequential:
    """Returns what turns squares of pixels into one pixel, and looks at its neighbours."""
    return nn.Sequential(
        OrderedDict(
            patches=nn.PixelUnshuffle(patch),
            conv=nn.Conv2d(channels * patch**2, filters, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(filters),
            relu=nn.ReLU(),
        )
    )


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

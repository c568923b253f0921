"""Stacked hourglass (Newell et al., ECCV 2016) in the form that SLEAP builds.

That is the form of "Associative Embedding" (arXiv 1611.05424): one convolution where the original
has a residual block. Every convolution is followed by ReLU and batch normalisation. The stem is
not repeated; its end is the skip connection of the stem's stride in every stack.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from shoal_core.errors import InvalidArgument
from shoal_training.config import HourglassConfig
from shoal_training.networks.convolutions import (
    HalvingConv,
    conv_block,
    initialize_like_keras,
    norm,
)
from shoal_training.networks.pyramid import Backbone, Pyramid
from shoal_training.networks.strides import doublings
from shoal_training.networks.upsampling import Interpolation

_STEM_KERNEL_SIZE = 7


class Hourglass(Backbone):
    """The backbone; `channels_by_stride` counts from the deepest feature to the output."""

    def __init__(self, config: HourglassConfig, channels: int) -> None:
        """Takes the channels of the images.

        Raises:
            InvalidArgument: NETWORK_INVALID when strides do not fit one another.
        """
        super().__init__()
        _check(config)
        self.max_stride = config.max_stride
        self.stem = _Stem(config, channels)
        channels = config.filters
        self.stack_count = config.stacks
        self.stacks = nn.ModuleList()
        for _ in range(config.stacks):
            stack = _Stack(config, channels)
            channels = stack.channels_by_stride[config.output_stride]
            self.stacks.append(stack)
        self.channels_by_stride = stack.channels_by_stride
        self.deepest_channels = self.channels_by_stride[config.max_stride]
        initialize_like_keras(self)

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of every stack."""
        stem = self.stem(images_BCHW)
        feature, pyramids = stem, []
        for stack in self.stacks:
            pyramids.append(stack(feature, stem))
            feature = pyramids[-1].by_stride[min(pyramids[-1].by_stride)]
        return pyramids


class _Stem(nn.Module):
    """7×7 convolution (of stride 2 where the stem's is 4), 3×3, pooling, 3×3."""

    def __init__(self, config: HourglassConfig, channels: int) -> None:
        super().__init__()
        inner = config.stem_filters
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if config.stem_stride == 4:
            layers["conv0"] = HalvingConv(channels, inner, _STEM_KERNEL_SIZE)
        else:
            layers["conv0"] = nn.Conv2d(channels, inner, _STEM_KERNEL_SIZE, padding="same")
        layers["relu0"] = nn.ReLU()
        layers["norm0"] = norm(inner)
        self.first = nn.Sequential(layers)
        self.second = conv_block(inner, 2 * inner, 1, order="norm_last")
        self.third = conv_block(2 * inner, config.filters, 1, order="norm_last")
        self._pools = config.stem_stride > 1

    def forward(self, images: Tensor) -> Tensor:
        feature = self.second(self.first(images))
        if self._pools:
            feature = functional.max_pool2d(feature, 2)
        else:
            # Without a stride, TensorFlow's 2×2 pooling looks right and down, and past the edge.
            beyond = functional.pad(feature, (0, 1, 0, 1), value=float("-inf"))
            feature = functional.max_pool2d(beyond, 2, stride=1)
        made: Tensor = self.third(feature)
        return made


class _Stack(nn.Module):
    """One hourglass: down by pooling and a convolution, up with the features beside."""

    def __init__(self, config: HourglassConfig, channels: int) -> None:
        super().__init__()
        depth = doublings("network.max_stride", config.stem_stride, config.max_stride)
        up_count = doublings("network.max_stride", config.output_stride, config.max_stride)
        self._first_stride, self._max_stride = config.stem_stride, config.max_stride
        widths = [config.filters + block * config.filter_increase for block in range(depth)]
        sources = [channels, *widths[:-1]]
        self.down = nn.ModuleList(
            conv_block(source, width, 1, order="norm_last")
            for source, width in zip(sources, widths, strict=True)
        )
        # On the way up, features have the stem's channels at its stride, in every stack.
        skip_channels = [config.filters, *widths[:-1]]
        self.channels_by_stride = {config.max_stride: widths[-1]}
        channels, self.up = widths[-1], nn.ModuleList()
        for block in range(up_count):
            width = widths[-1 - block]
            self.up.append(_UpBlock(channels, width, skip_channels[-1 - block]))
            channels = width
            self.channels_by_stride[config.max_stride >> (block + 1)] = width

    def forward(self, feature: Tensor, stem: Tensor) -> Pyramid:
        stride, skips = self._first_stride, {self._first_stride: stem}
        for block in self.down:
            feature = block(functional.max_pool2d(feature, 2))
            stride *= 2
            skips[stride] = feature
        features = {stride: feature}
        deepest = feature
        for block in self.up:
            stride //= 2
            feature = block(feature, skips[stride])
            features[stride] = feature
        return Pyramid(deepest, features)


class _UpBlock(nn.Module):
    """Convolution and doubling (nearest), plus a convolution of the encoder's feature."""

    def __init__(self, channels: int, filters: int, skip_channels: int) -> None:
        super().__init__()
        self.conv = conv_block(channels, filters, 1, order="norm_last")
        self.up = Interpolation("nearest")
        self.skip = conv_block(skip_channels, filters, 1, order="norm_last")

    def forward(self, feature: Tensor, skip: Tensor) -> Tensor:
        made: Tensor = self.up(self.conv(feature)) + self.skip(skip)
        return made


def _check(config: HourglassConfig) -> None:
    if config.stem_stride not in (1, 2, 4):
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"network.stem_stride {config.stem_stride} of an hourglass does not exist; give 1, 2 "
            "or 4.",
            stem_stride=config.stem_stride,
        )
    too_small = config.output_stride < config.stem_stride
    if too_small or (config.stacks > 1 and config.output_stride != config.stem_stride):
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"network.output_stride {config.output_stride} of {config.stacks} hourglass stacks "
            f"does not fit the stem; set it to the stem_stride, {config.stem_stride}.",
            output_stride=config.output_stride,
        )
    if doublings("network.max_stride", config.stem_stride, config.max_stride) == 0:
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"network.max_stride {config.max_stride} leaves no hourglass beyond the stem; give "
            f"{2 * config.stem_stride} or more.",
            max_stride=config.max_stride,
        )

"""SLEAP's modular UNet (Nature Methods 2022; software 1.4), weight for weight.

Encoder blocks are convolutions with ReLU and 2×2 max-pooling between them and after the last;
the middle block is one more without pooling. A stem has 7×7 kernels and is not repeated by
stacks. As in the software, a block of b doublings has ⌊filters · rate^b⌋ channels, stem included;
what the stem ends with, not the encoder's first block, is put beside the decoder's feature of the
stem's stride, and every later stack begins with what the one before it ends with.
"""

from torch import Tensor, nn
from torch.nn import functional

from shoal_core.errors import InvalidArgument
from shoal_training.config import UNetConfig
from shoal_training.networks.convolutions import conv_block, initialize_like_keras
from shoal_training.networks.decoder import Decoder, DecoderSpec
from shoal_training.networks.pyramid import Backbone, Pyramid
from shoal_training.networks.strides import doublings

_STEM_KERNEL_SIZE = 7


class UNet(Backbone):
    """The backbone; its blocks are stem[i], stacks[k].encoder[i], .middle and .decoder."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        """Takes the channels of the images.

        Raises:
            InvalidArgument: NETWORK_INVALID when strides do not fit one another.
        """
        super().__init__()
        _check(config)
        self.max_stride = config.max_stride
        stem_count = doublings("network.stem_stride", 1, config.stem_stride)
        self.stem = nn.ModuleList()
        for block in range(stem_count):
            filters = _filters(config, block)
            self.stem.append(
                conv_block(channels, filters, config.convolutions_per_block, _STEM_KERNEL_SIZE)
            )
            channels = filters
        self._stem_stride = config.stem_stride
        stem_channels = channels if stem_count else 0
        self.stack_count = config.stacks
        self.stacks = nn.ModuleList()
        for _ in range(config.stacks):
            stack = _Stack(config, channels, stem_channels)
            channels = stack.decoder.channels_by_stride[config.output_stride]
            self.stacks.append(stack)
        self.deepest_channels = stack.decoder.channels_by_stride[config.max_stride]
        self.channels_by_stride = stack.decoder.channels_by_stride
        initialize_like_keras(self)

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of every stack."""
        feature = images_BCHW
        for block in self.stem:
            feature = functional.max_pool2d(block(feature), 2)
        skips = {self._stem_stride: feature} if len(self.stem) else {}
        pyramids: list[Pyramid] = []
        for stack in self.stacks:
            pyramids.append(stack(feature, skips))
            feature = pyramids[-1].by_stride[min(pyramids[-1].by_stride)]
        return pyramids


class _Stack(nn.Module):
    """Encoder, middle block and decoder."""

    def __init__(self, config: UNetConfig, channels: int, stem_channels: int) -> None:
        super().__init__()
        stem_count = doublings("network.stem_stride", 1, config.stem_stride)
        depth = doublings("network.max_stride", 1, config.max_stride)
        convs = config.convolutions_per_block
        self._first_stride = config.stem_stride
        self.encoder = nn.ModuleList()
        skip_channels = {}
        for block in range(stem_count, depth):
            filters = _filters(config, block)
            self.encoder.append(conv_block(channels, filters, convs))
            channels = filters
            skip_channels[1 << block] = channels
        if stem_channels:
            skip_channels[config.stem_stride] = stem_channels
        self.middle: nn.Module = nn.Identity()
        if config.middle_block:
            filters = _filters(config, depth)
            self.middle = conv_block(channels, filters, convs)
            channels = filters
        up_count = doublings("network.max_stride", config.output_stride, config.max_stride)
        spec = DecoderSpec(
            filters=tuple(_filters(config, depth - 1 - block) for block in range(up_count)),
            upsampling=config.upsampling,
            skip=config.skip,
            convolution_count=convs,
        )
        self.decoder = Decoder(
            spec, channels=channels, stride=config.max_stride, skip_channels=skip_channels
        )

    def forward(self, feature: Tensor, stem_skips: dict[int, Tensor]) -> Pyramid:
        stride, skips = self._first_stride, {}
        for block in self.encoder:
            feature = block(feature)
            skips[stride] = feature
            feature = functional.max_pool2d(feature, 2)
            stride *= 2
        made: Pyramid = self.decoder(self.middle(feature), skips | stem_skips)
        return made


def _filters(config: UNetConfig, block: int) -> int:
    return int(config.filters * config.filters_rate**block)


def _check(config: UNetConfig) -> None:
    doublings("network.max_stride", config.stem_stride, config.max_stride)
    if config.stacks > 1 and config.output_stride != config.stem_stride:
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"network.stacks {config.stacks} needs an output_stride equal to the stem_stride, "
            f"because each stack begins where the one before it ends, but they are "
            f"{config.output_stride} and {config.stem_stride}; set both to one value.",
            stacks=config.stacks,
        )
    smallest = min(config.filters, config.convolutions_per_block, config.stacks)
    if smallest < 1 or _filters(config, config.max_stride.bit_length() - 1) < 1:
        raise InvalidArgument(
            "NETWORK_INVALID",
            "network.filters, convolutions_per_block and stacks are at least 1, and filters_rate "
            "leaves every block a channel; raise the one that does not.",
            filters=config.filters,
        )

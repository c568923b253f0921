"""The network of LEAP (Pereira et al., Nature Methods 2019) as SLEAP builds it.

Three convolutions with ReLU and 2×2 max-pooling a block on the way down; on the way up each
doubling (transposed convolutions of kernel 3 by default) is followed by two convolutions of
filters · rate^b channels, b counted down to 1. There are no skip connections.
"""

from torch import Tensor, nn
from torch.nn import functional

from shoal_training.config import LeapConfig
from shoal_training.networks.convolutions import conv_block, initialize_like_keras
from shoal_training.networks.decoder import Decoder, DecoderSpec
from shoal_training.networks.pyramid import Backbone, Pyramid
from shoal_training.networks.strides import doublings

CONVOLUTIONS_PER_BLOCK = 3


class Leap(Backbone):
    """The backbone."""

    def __init__(self, config: LeapConfig, channels: int) -> None:
        """Takes the channels of the images.

        Raises:
            InvalidArgument: NETWORK_INVALID when strides do not fit one another.
        """
        super().__init__()
        depth = doublings("network.max_stride", 1, config.max_stride)
        up_count = doublings("network.max_stride", config.output_stride, config.max_stride)
        self.max_stride = config.max_stride
        self.encoder = nn.ModuleList()
        for block in range(depth):
            filters = int(config.filters * config.filters_rate**block)
            self.encoder.append(conv_block(channels, filters, CONVOLUTIONS_PER_BLOCK))
            channels = filters
        self.deepest_channels = channels
        up_filters = tuple(
            int(config.filters * config.filters_rate**block) for block in range(up_count, 0, -1)
        )
        self.decoder = Decoder(
            DecoderSpec(filters=up_filters, upsampling=config.upsampling, skip="none"),
            channels=channels,
            stride=config.max_stride,
            skip_channels={},
        )
        self.channels_by_stride = self.decoder.channels_by_stride
        initialize_like_keras(self)

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of the one stack."""
        feature = images_BCHW
        for block in self.encoder:
            feature = functional.max_pool2d(block(feature), 2)
        return [self.decoder(feature, {})]

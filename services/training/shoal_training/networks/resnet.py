"""ResNet encoder (He et al., CVPR 2016) with an upsampling decoder, as SLEAP builds it.

Bottleneck blocks have their stride in the first 1×1 convolution, biases everywhere and batch
normalisation before ReLU. Where the stride would exceed `max_stride`, a stage is dilated instead:
its 3×3 kernels reach twice as far from its second block on (its first sees what the stage before
it saw), as in DeepLab and DeepLabCut. SLEAP's software puts the dilation on 1×1 kernels, where it
does nothing.
"""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from shoal_core.errors import InvalidArgument
from shoal_training.config import ResNetConfig
from shoal_training.networks.convolutions import initialize_like_keras, norm
from shoal_training.networks.decoder import Decoder, DecoderSpec
from shoal_training.networks.pyramid import Backbone, Pyramid
from shoal_training.networks.strides import doublings

BLOCK_COUNTS: Mapping[str, tuple[int, int, int, int]] = {
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
"""Version → bottleneck blocks in each of the four stages."""
STAGE_FILTERS = (64, 128, 256, 512)
_EXPANSION = 4
_STEM_FILTERS = 64
_STEM_STRIDE = 4
_EPSILON = 1.001e-5
"""Of batch normalisation in Keras's ResNets."""


class ResNet(Backbone):
    """The backbone; stages[i] are the encoder's, decoder.blocks the doublings."""

    def __init__(self, config: ResNetConfig, channels: int) -> None:
        """Takes the channels of the images.

        Raises:
            InvalidArgument: NETWORK_INVALID when strides do not fit one another.
        """
        super().__init__()
        _check(config)
        self.max_stride = config.max_stride
        self.stem = nn.Conv2d(channels, _STEM_FILTERS, 7, stride=2, padding=3)
        self.stem_norm = norm(_STEM_FILTERS, _EPSILON)
        self.stages = nn.ModuleList()
        self._strides: list[int] = []
        channels, stride, dilation = _STEM_FILTERS, _STEM_STRIDE, 1
        for index, count in enumerate(BLOCK_COUNTS[config.version]):
            step = 2 if index and stride < config.max_stride else 1
            next_dilation = dilation * (2 if index and step == 1 else 1)
            self.stages.append(
                _stage(channels, STAGE_FILTERS[index], count, step, (dilation, next_dilation))
            )
            channels, stride, dilation = (
                _EXPANSION * STAGE_FILTERS[index],
                stride * step,
                next_dilation,
            )
            self._strides.append(stride)
        self.deepest_channels = channels
        self.decoder = _decoder(config, channels, self._skip_channels())
        self.channels_by_stride = self.decoder.channels_by_stride
        initialize_like_keras(self)

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of the one stack."""
        feature = functional.relu(self.stem_norm(self.stem(images_BCHW)))
        feature = functional.max_pool2d(feature, 3, stride=2, padding=1)
        skips: dict[int, Tensor] = {}
        for stage, stride in zip(self.stages, self._strides, strict=True):
            feature = stage(feature)
            skips.setdefault(stride, feature)
        return [self.decoder(feature, skips)]

    def _skip_channels(self) -> dict[int, int]:
        """Returns stride → channels of the first stage of each stride."""
        found: dict[int, int] = {}
        for stride, filters in zip(self._strides, STAGE_FILTERS, strict=True):
            found.setdefault(stride, _EXPANSION * filters)
        return found


class _Bottleneck(nn.Module):
    """1×1 (with the stride), 3×3 (with the dilation), 1×1, plus what came in."""

    def __init__(self, channels: int, filters: int, stride: int, dilation: int) -> None:
        super().__init__()
        out = _EXPANSION * filters
        self.reduce = nn.Conv2d(channels, filters, 1, stride=stride)
        self.reduce_norm = norm(filters, _EPSILON)
        self.look = nn.Conv2d(filters, filters, 3, padding=dilation, dilation=dilation)
        self.look_norm = norm(filters, _EPSILON)
        self.expand = nn.Conv2d(filters, out, 1)
        self.expand_norm = norm(out, _EPSILON)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride), norm(out, _EPSILON)
            )

    def forward(self, feature: Tensor) -> Tensor:
        inner = functional.relu(self.reduce_norm(self.reduce(feature)))
        inner = functional.relu(self.look_norm(self.look(inner)))
        return functional.relu(self.expand_norm(self.expand(inner)) + self.shortcut(feature))


def _stage(
    channels: int, filters: int, count: int, stride: int, dilations: tuple[int, int]
) -> nn.Sequential:
    """Returns a stage; `dilations` are those of its first block and of the others."""
    first = _Bottleneck(channels, filters, stride, dilations[0])
    others = (_Bottleneck(_EXPANSION * filters, filters, 1, dilations[1]) for _ in range(count - 1))
    return nn.Sequential(first, *others)


def _decoder(config: ResNetConfig, channels: int, skip_channels: dict[int, int]) -> Decoder:
    up_count = doublings("network.max_stride", config.output_stride, config.max_stride)
    filters = (
        int(config.decoder_filters * config.decoder_filters_rate**block)
        for block in range(up_count)
    )
    spec = DecoderSpec(
        filters=tuple(filters),
        upsampling=config.upsampling,
        skip=config.skip,
        order="norm_first",
        transposed_kernel_size=4,
    )
    return Decoder(spec, channels=channels, stride=config.max_stride, skip_channels=skip_channels)


def _check(config: ResNetConfig) -> None:
    if config.max_stride not in (4, 8, 16, 32):
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"network.max_stride {config.max_stride} of a ResNet does not exist; give 4, 8, 16 or "
            "32.",
            max_stride=config.max_stride,
        )

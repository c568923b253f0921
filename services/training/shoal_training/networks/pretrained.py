"""Encoders of timm with skip connections into the upsampling decoder.

Images are shown to the encoder as the weights of its authors expect them: as three channels,
less timm's mean and divided by its standard deviation. Batch normalisation follows the decoder's
convolutions.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_training.config import PretrainedConfig
from shoal_training.networks.convolutions import initialize_like_keras
from shoal_training.networks.decoder import Decoder, DecoderSpec
from shoal_training.networks.encoder_weights import load_encoder_weights
from shoal_training.networks.pyramid import Backbone, Pyramid
from shoal_training.networks.strides import doublings

_WITHOUT_PADDING = ("inception",)
"""Families whose features are smaller than 1 / stride of the image: borders are not padded."""


class Pretrained(Backbone):
    """The backbone: `encoder` is timm's network, `decoder.blocks` the doublings."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: PretrainedConfig, channels: int) -> None:
        """Takes the channels of the images, 1 or 3.

        Raises:
            FailedPrecondition: BACKBONES_MISSING when timm is not installed.
            InvalidArgument: NETWORK_INVALID when timm has no such encoder or it has no feature
                of `max_stride`, WEIGHTS_INVALID when the file's tensors are not its.
        """
        super().__init__()
        self.encoder, strides, widths = _make_encoder(config)
        self.max_stride = config.max_stride
        self._strides = strides
        self._needs_fitting = any(word in config.encoder for word in _WITHOUT_PADDING)
        settings = self.encoder.pretrained_cfg if hasattr(self.encoder, "pretrained_cfg") else {}
        self.register_buffer("mean", _column(settings.get("mean", (0.5,) * 3)))
        self.register_buffer("std", _column(settings.get("std", (0.5,) * 3)))
        by_stride = dict(zip(strides, widths, strict=True))
        self.deepest_channels = by_stride[config.max_stride]
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
        self.decoder = Decoder(
            spec,
            channels=self.deepest_channels,
            stride=config.max_stride,
            skip_channels=by_stride,
        )
        self.channels_by_stride = self.decoder.channels_by_stride
        initialize_like_keras(self.decoder)
        if config.weights_file is not None:
            load_encoder_weights(self.encoder, Path(config.weights_file))

    def forward(self, images_BCHW: Tensor) -> list[Pyramid]:
        """Returns the features of the one stack."""
        rgb = images_BCHW.expand(-1, 3, -1, -1)
        features = self.encoder((rgb - self.mean) / self.std)
        skips = {
            stride: _fitted(feature, images_BCHW, stride) if self._needs_fitting else feature
            for stride, feature in zip(self._strides, features, strict=True)
        }
        return [self.decoder(skips[self.max_stride], skips)]


def _fitted(feature: Tensor, images: Tensor, stride: int) -> Tensor:
    """Returns the feature at 1 / stride of the images' size (bilinear)."""
    size = (images.shape[2] // stride, images.shape[3] // stride)
    return functional.interpolate(feature, size=size, mode="bilinear")


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def _make_encoder(config: PretrainedConfig) -> tuple[Any, list[int], list[int]]:
    """Returns timm's encoder, cut behind `max_stride`, and its features' strides and channels."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        # A torchvision of another build than torch fails with a RuntimeError when it is imported.
        raise FailedPrecondition(
            "BACKBONES_MISSING",
            f"The encoder {config.encoder!r} needs timm, which cannot be imported ({error}); "
            "install shoal-training[backbones] with the registry's torch and torchvision.",
            encoder=config.encoder,
        ) from error
    try:
        whole = timm.create_model(config.encoder, pretrained=False, features_only=True)
        strides = list(whole.feature_info.reduction())
        if config.max_stride not in strides:
            raise InvalidArgument(
                "NETWORK_INVALID",
                f"{config.encoder} has features of strides {', '.join(map(str, strides))}; set "
                "network.max_stride to one of them.",
                encoder=config.encoder,
                max_stride=config.max_stride,
            )
        kept = tuple(range(strides.index(config.max_stride) + 1))
        encoder = timm.create_model(
            config.encoder, pretrained=False, features_only=True, out_indices=kept
        )
    except (RuntimeError, AttributeError) as error:
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"timm makes no encoder with features of {config.encoder!r} "
            f"({str(error).splitlines()[0]}); name one of those in backbones.txt.",
            encoder=config.encoder,
        ) from error
    return encoder, strides[: len(kept)], list(encoder.feature_info.channels())

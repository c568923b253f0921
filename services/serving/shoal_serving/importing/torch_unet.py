"""sleap-nn's UNet: what its configuration says, and its graph.

Encoder blocks are convolutions with ReLU, with 2×2 max-pooling between them and after the last;
the middle block is one more without pooling. A stem has blocks of its own with 7×7 kernels, and
pools once more after its last block than its configuration counts: the encoder then begins at
twice the stride of the stem, and the deepest stride is twice the configured one. Frames are
padded to that, so that no block has to round an odd size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal_serving.importing.config_numbers import positive, power_of_two
from shoal_serving.importing.torch_backbone import Pyramid, middle_block
from shoal_serving.importing.torch_decoder import Decoder
from shoal_serving.importing.torch_layers import Feature, TorchLayers

_BACKBONE = "backbone"
_STEM_KERNEL_SIZE = 7


@dataclass(frozen=True)
class UNet:
    """The backbone as configured; `emit` adds it to a graph."""

    kernel_size: int
    convs_per_block: int
    middle_block: bool
    up_interpolate: bool
    stem_blocks: int
    down_blocks: int
    last_stride: int

    @classmethod
    def parse(cls, unet: Mapping[str, Any]) -> "UNet":
        """Returns the network of a configuration.

        Raises:
            KeyError, TypeError, ValueError: when it describes none.
        """
        stem_stride = power_of_two(unet.get("stem_stride") or 1)
        max_stride = power_of_two(unet["max_stride"])
        # With a stem, both the deepest stride and the number of doublings are larger.
        last_stride = power_of_two(unet["output_stride"]) * (2 if stem_stride > 1 else 1)
        return cls(
            kernel_size=int(positive(unet["kernel_size"])),
            convs_per_block=int(positive(unet.get("convs_per_block", 2))),
            middle_block=bool(unet.get("middle_block", True)),
            up_interpolate=bool(unet["up_interpolate"]),
            stem_blocks=stem_stride.bit_length() - 1,
            down_blocks=power_of_two(max_stride / stem_stride).bit_length() - 1,
            last_stride=power_of_two(last_stride / stem_stride),
        )

    @property
    def max_stride(self) -> int:
        """Network input height and width are multiples of this."""
        pools = self.stem_blocks + self.down_blocks + (self.stem_blocks > 0)
        return 1 << pools

    @property
    def first_layer(self) -> str:
        """Name of the layer that sees the image."""
        if self.stem_blocks:
            return f"{_BACKBONE}.stem.stem_stack.0.blocks.stem0_conv0"
        return f"{_BACKBONE}.encoders.0.encoder_stack.0.blocks.stack0_enc0_conv0"

    def emit(self, layers: TorchLayers, image: Feature) -> Pyramid:
        """Adds the network to a graph."""
        feature, skips = image, []
        if self.stem_blocks:
            feature = self._stem(layers, feature)
            skips = [feature]
            feature = layers.pool(feature)
        for block in range(self.down_blocks):
            name = f"{_BACKBONE}.encoders.0.encoder_stack.{block}.blocks.stack0_enc{block}_conv"
            feature = layers.convs(name, self.convs_per_block, feature, self.kernel_size)
            skips.append(feature)
            feature = layers.pool(feature)
        if self.middle_block:
            feature = self._middle(layers, feature)
        decoder = Decoder(
            name=f"{_BACKBONE}.decoders.0",
            prefix="stack0_dec",
            first_stride=self.max_stride,
            last_stride=self.last_stride,
            kernel_size=self.kernel_size,
            up_interpolate=self.up_interpolate,
        )
        return decoder.emit(layers, feature, skips[::-1])

    def _stem(self, layers: TorchLayers, feature: Feature) -> Feature:
        for block in range(self.stem_blocks):
            name = f"{_BACKBONE}.stem.stem_stack.{block}.blocks.stem{block}_conv"
            feature = layers.convs(name, self.convs_per_block, feature, _STEM_KERNEL_SIZE)
            feature = layers.pool(feature)
        return feature

    def _middle(self, layers: TorchLayers, feature: Feature) -> Feature:
        def name(index: int, part: str) -> str:
            # Layers are numbered on from the encoder's blocks and its last pooling.
            layer = f"stack0_enc{self.down_blocks + 1 + index}_middle_{part}_conv"
            return f"{_BACKBONE}.middle_blocks.{index}.blocks.{layer}"

        return middle_block(layers, name, self.convs_per_block, feature, self.kernel_size)

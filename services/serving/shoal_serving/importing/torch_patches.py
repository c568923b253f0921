"""Backbones of sleap-nn whose encoder first cuts the image into patches: ConvNeXt and Swin.

Both encoders have four stages and halve the size between them; the decoder stands on one more
pooling, and gets what each stage begins with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shoal_serving.importing.config_numbers import positive, power_of_two
from shoal_serving.importing.torch_backbone import Pyramid, middle_block
from shoal_serving.importing.torch_decoder import Decoder
from shoal_serving.importing.torch_layers import Feature, TorchLayers

STAGES = 4
_BACKBONE = "backbone"

Encode = Callable[[TorchLayers, str, Feature, int], tuple[Feature, list[Feature]]]
"""Adds an encoder by the name that its layers begin with, for patches so many pixels apart.

Returns its last feature, and what each stage begins with.
"""


@dataclass(frozen=True)
class PatchBackbone:
    """The backbone as configured; how many blocks and channels it has, the tensors say."""

    encode: Encode
    patch_stride: int
    kernel_size: int
    convs_per_block: int
    up_interpolate: bool
    output_stride: int

    @classmethod
    def parse(cls, encode: Encode, config: Mapping[str, Any]) -> "PatchBackbone":
        """Returns the network of a configuration.

        Raises:
            KeyError, TypeError, ValueError: when it describes none.
        """
        return cls(
            encode=encode,
            patch_stride=power_of_two(config["stem_patch_stride"]),
            kernel_size=int(positive(config["kernel_size"])),
            convs_per_block=int(positive(config["convs_per_block"])),
            up_interpolate=bool(config["up_interpolate"]),
            output_stride=power_of_two(config["output_stride"]),
        )

    @property
    def max_stride(self) -> int:
        """Network input height and width are multiples of this."""
        return self.patch_stride << STAGES

    @property
    def first_layer(self) -> str:
        """Name of the layer that sees the image."""
        return f"{_BACKBONE}.enc.features.0.0"

    def emit(self, layers: TorchLayers, image: Feature) -> Pyramid:
        """Adds the network to a graph."""
        feature, skips = self.encode(layers, f"{_BACKBONE}.enc", image, self.patch_stride)
        deepest = middle_block(
            layers, _middle_name, self.convs_per_block, layers.pool(feature), self.kernel_size
        )
        decoder = Decoder(
            name=f"{_BACKBONE}.dec",
            prefix="dec",
            first_stride=self.max_stride,
            last_stride=self.output_stride,
            kernel_size=self.kernel_size,
            up_interpolate=self.up_interpolate,
        )
        return decoder.emit(layers, deepest, skips[::-1])


def _middle_name(index: int, part: str) -> str:
    """Returns ConvNeXt's name, which Swin networks use, too."""
    return f"{_BACKBONE}.middle_blocks.{index}.blocks.convnext_middle_{part}_conv"

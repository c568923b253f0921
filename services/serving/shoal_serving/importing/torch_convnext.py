"""sleap-nn's ConvNeXt: what its configuration says, and its graph.

The encoder is that of "A ConvNet for the 2020s" (arXiv 2201.03545): a patch convolution, then
stages of blocks with a normalised 2×2 convolution of stride 2 between them. The decoder stands on
one more pooling, and gets what each stage begins with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal_serving.importing.torch_backbone import Pyramid, middle_block
from shoal_serving.importing.torch_decoder import Decoder
from shoal_serving.importing.torch_layers import Feature, TorchLayers
from shoal_serving.importing.torch_numbers import positive, power_of_two

_BACKBONE = "backbone"
_STAGES = 4
_EPSILON = 1e-6
_BLOCK_KERNEL_SIZE = 7


@dataclass(frozen=True)
class ConvNext:
    """The backbone as configured; how many blocks and channels it has, the tensors say."""

    patch_size: int
    patch_stride: int
    kernel_size: int
    convs_per_block: int
    up_interpolate: bool
    output_stride: int

    @classmethod
    def parse(cls, convnext: Mapping[str, Any]) -> "ConvNext":
        """Returns the network of a configuration.

        Raises:
            KeyError, TypeError, ValueError: when it describes none.
        """
        return cls(
            patch_size=int(positive(convnext["stem_patch_kernel"])),
            patch_stride=power_of_two(convnext["stem_patch_stride"]),
            kernel_size=int(positive(convnext["kernel_size"])),
            convs_per_block=int(positive(convnext["convs_per_block"])),
            up_interpolate=bool(convnext["up_interpolate"]),
            output_stride=power_of_two(convnext["output_stride"]),
        )

    @property
    def max_stride(self) -> int:
        """Network input height and width are multiples of this."""
        return self.patch_stride << _STAGES

    @property
    def first_layer(self) -> str:
        """Name of the layer that sees the image."""
        return f"{_BACKBONE}.enc.features.0.0"

    def emit(self, layers: TorchLayers, image: Feature) -> Pyramid:
        """Adds the network to a graph."""
        name = f"{_BACKBONE}.enc.features"
        feature = layers.patches(f"{name}.0.0", image, self.patch_size, self.patch_stride, 1)
        feature = layers.normalized(f"{name}.0.1", feature, _EPSILON)
        skips = [feature]
        for stage in range(_STAGES):
            if stage:
                feature = layers.normalized(f"{name}.{2 * stage}.0", feature, _EPSILON)
                feature = layers.patches(f"{name}.{2 * stage}.1", feature, 2, 2, 0)
                skips.append(feature)
            feature = _stage(layers, f"{name}.{2 * stage + 1}", feature)
        names = tuple(
            f"{_BACKBONE}.middle_blocks.{index}.blocks.convnext_middle_{part}_conv"
            for index, part in enumerate(("expand", "contract"))
        )
        deepest = middle_block(
            layers,
            (names[0], names[1]),
            self.convs_per_block,
            layers.pool(feature),
            self.kernel_size,
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


def _stage(layers: TorchLayers, name: str, feature: Feature) -> Feature:
    block = 0
    while f"{name}.{block}.layer_scale" in layers.tensors:
        feature = _block(layers, f"{name}.{block}", feature)
        block += 1
    return feature


def _block(layers: TorchLayers, name: str, feature: Feature) -> Feature:
    """Returns the feature plus what a wide kernel for each channel and two dense layers make."""
    inner = layers.depthwise(f"{name}.block.0", feature, _BLOCK_KERNEL_SIZE)
    inner = layers.normalized(f"{name}.block.2", inner, _EPSILON)
    inner = layers.gelu(layers.pointwise(f"{name}.block.3", inner))
    inner = layers.pointwise(f"{name}.block.5", inner)
    scale = layers.tensors.take(f"{name}.layer_scale", (feature.channels, 1, 1))
    return Feature(feature.value + inner.value * scale, feature.channels)

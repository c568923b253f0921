"""From the deepest feature back to larger ones, with the encoder's features beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal_serving.importing.torch_backbone import Pyramid
from shoal_serving.importing.torch_layers import Feature, TorchLayers


@dataclass(frozen=True)
class Decoder:
    """Blocks that double the size.

    Each block doubles the feature before it, either bilinearly with half-pixel centres or by a
    transposed convolution with ReLU; puts the encoder's feature **before** it; and ends with two
    convolutions with ReLU, however many the encoder's blocks have. A block beyond the encoder's
    features has nothing to put beside, and one convolution.
    """

    name: str
    """What the names of the blocks' tensors begin with."""
    prefix: str
    """What the names of the layers begin with, for example "stack0_dec"."""
    first_stride: int
    """Stride of the deepest feature."""
    last_stride: int
    kernel_size: int
    up_interpolate: bool

    def emit(self, layers: TorchLayers, deepest: Feature, skips: Sequence[Feature]) -> Pyramid:
        """Adds the blocks to a graph; `skips` are the encoder's features, deepest first."""
        stride, feature = self.first_stride, deepest
        features = {stride: deepest}
        while stride > self.last_stride:
            block = len(features) - 1
            skip = skips[block] if block < len(skips) else None
            feature = self._block(layers, block, stride, feature, skip)
            stride //= 2
            features[stride] = feature
        return Pyramid(deepest, features)

    def _block(
        self, layers: TorchLayers, block: int, stride: int, feature: Feature, skip: Feature | None
    ) -> Feature:
        layer = f"{self.prefix}{block}_s{stride}_to_s{stride // 2}"
        name = f"{self.name}.decoder_stack.{block}.blocks.{layer}"
        if self.up_interpolate:
            feature = layers.interpolated(feature)
        else:
            feature = layers.relu(layers.doubled(f"{name}_trans_conv", feature))
        if skip is None:
            return layers.convs(f"{name}_refine_conv", 1, feature, self.kernel_size)
        joined = layers.joined(skip, feature)
        return layers.convs(f"{name}_refine_conv", 2, joined, self.kernel_size)

"""What every backbone of sleap-nn is: layers that end in features of several strides."""

from dataclasses import dataclass
from typing import Protocol

from shoal_serving.importing.torch_layers import Feature, TorchLayers


@dataclass(frozen=True)
class Pyramid:
    """The features of a backbone on which heads may stand."""

    deepest: Feature
    """What the decoder starts from; class vectors stand on it."""
    by_stride: dict[int, Feature]
    """Network input pixels per pixel → feature."""


class Backbone(Protocol):
    """A backbone as configured."""

    @property
    def max_stride(self) -> int:
        """Network input height and width are multiples of this."""

    @property
    def first_layer(self) -> str:
        """Name of the layer that sees the image."""

    def emit(self, layers: TorchLayers, image: Feature) -> Pyramid:
        """Adds the backbone to a graph."""


def middle_block(
    layers: TorchLayers, names: tuple[str, str], convs: int, feature: Feature, size: int
) -> Feature:
    """Returns the block between encoder and decoder: convolutions with ReLU, no pooling.

    Args:
        layers: Where the block is added.
        names: What the layers' names begin with in its expanding part, all convolutions but
            the last, and in its contracting part, which is the last.
        convs: How many convolutions there are.
        feature: The encoder's last feature.
        size: Side of the kernels.
    """
    expanding, contracting = names
    feature = layers.convs(expanding, convs - 1, feature, size)
    return layers.convs(contracting, 1, feature, size)

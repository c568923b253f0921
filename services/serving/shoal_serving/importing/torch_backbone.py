"""What every backbone of sleap-nn is: layers that end in features of several strides."""

from collections.abc import Callable
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
    layers: TorchLayers, name: Callable[[int, str], str], convs: int, feature: Feature, size: int
) -> Feature:
    """Returns the block between encoder and decoder: convolutions with ReLU, no pooling.

    Args:
        layers: Where the block is added.
        name: Returns what the layers' names begin with in a part of it, by the part's number and
            name: "expand", all convolutions but the last (there may be none), or "contract".
        convs: How many convolutions there are.
        feature: The encoder's last feature.
        size: Side of the kernels.
    """
    parts = [("expand", convs - 1), ("contract", 1)]
    for index, (part, count) in enumerate((part, count) for part, count in parts if count):
        feature = layers.convs(name(index, part), count, feature, size)
    return feature

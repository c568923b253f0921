"""A network, ready to be written into a graph, whatever it was imported from."""

from collections.abc import Callable
from dataclasses import dataclass

from shoal_serving.graphs.builder import GraphBuilder, Value


@dataclass(frozen=True)
class Head:
    """One output of a network."""

    name: str
    """Name of the head's layer, for example "CentroidConfmapsHead_0"."""
    channels: int
    stride: int
    """Network input pixels per map pixel."""
    is_map: bool = True
    """Whether it is an image [B, channels, h, w]; otherwise it is a vector [B, channels]."""


@dataclass(frozen=True)
class Body:
    """A network from `input` [B, C, H, W] (float32, pixels / 255) to its heads' maps."""

    channels: int
    """C: 1 (gray) or 3 (RGB)."""
    max_stride: int
    """H and W are multiples of this."""
    heads: tuple[Head, ...]
    emit: Callable[[GraphBuilder, Value], dict[str, Value]]
    """Adds the network to a graph; returns the heads: maps [B, channels, H/stride, W/stride]
    and vectors [B, channels]."""

    def find(self, class_name: str) -> Head | None:
        """Returns the head whose layer name begins with the class name, if there is one.

        Of several stacks the first counts: SLEAP trains and uses the first output of a class.
        """
        for head in self.heads:
            if head.name.startswith(class_name):
                return head
        return None

"""What a network says: its heads, by the names that serving knows them by."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class HeadSpec:
    """One head of a network."""

    name: str
    """Class name, for example "CenteredInstanceConfmapsHead"."""
    channels: int
    stride: int
    """Network input pixels per pixel of the map; of vectors: 1."""
    is_map: bool = True
    """Whether it is an image [B, channels, h, w]; otherwise it is a vector [B, channels]."""
    output: Literal["linear", "sigmoid", "softmax", "spatial_softmax"] = "linear"
    """What becomes of the network's numbers (the logits that losses see) where it infers:
    `sigmoid` of class maps, `softmax` over the classes of class vectors, `spatial_softmax` over
    all pixels of a map with one peak at most (`networks.spatial_softmax`)."""
    sigma_map_px: float = 0.0
    """Of `spatial_softmax`: standard deviation of the Gaussian it was trained on, in map pixels."""
    layers: tuple[int, ...] = ()
    """Of vectors: units of the dense layers between the deepest features and the last one."""


def stack_name(name: str, stack: int) -> str:
    """Returns the key of a head's output on an earlier stack of the network (0: the first).

    The last stack's outputs, which inference uses, are under the head's own name; every stack
    has a loss of its own (Newell et al., ECCV 2016, "Training with intermediate supervision").
    """
    return f"{name}/stack{stack}"

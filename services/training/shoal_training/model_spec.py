"""What one trained network is, for whoever runs it: how pixels reach it and what its heads say."""

from dataclasses import dataclass
from typing import Literal

from shoal_core.skeleton import Skeleton
from shoal_training.config import ModelKind
from shoal_training.heads import HeadSpec

CROP_KINDS: tuple[ModelKind, ...] = ("centered_instance", "multiclass_centered_instance")
"""Kinds whose network sees a crop around each animal; they need to be told the centroids."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network as serving runs it; the same values are in the model folder."""

    kind: ModelKind
    skeleton: Skeleton
    """Of the labels, whatever the kind."""
    heads: tuple[HeadSpec, ...]
    """Of the inference network, an OffsetRefinementHead included where it gives offsets."""
    channels: Literal[1, 3]
    max_stride: int
    """Height and width of the network's input are multiples of it."""
    classes: tuple[str, ...] = ()
    """Identities, in the order of the channels of class maps and vectors."""
    anchor_part: str | None = None
    """Node at which centroids are; None: the middle of the nodes' bounding box."""
    crop_size_px: int | None = None
    """Side of the crop in frame pixels; None where the network sees whole frames."""
    input_scale: float = 1.0
    """Factor from frame (or crop) pixels to network input pixels."""
    antialias: bool = False
    """Whether images are scaled down with antialiasing."""
    peak_threshold: float = 0.2
    """What a peak must exceed."""
    max_instances: int = 20
    """Most centroids of a frame."""
    max_peaks_per_node: int = 20
    """Most peaks of one node of a frame, of bottom-up models."""

    @property
    def sees_crops(self) -> bool:
        """Whether the network sees a crop around each animal."""
        return self.kind in CROP_KINDS

    @property
    def anchor_node(self) -> int | None:
        """Index of the anchor part."""
        return None if self.anchor_part is None else self.skeleton.nodes.index(self.anchor_part)

    def head(self, class_name: str) -> HeadSpec | None:
        """Returns the head of that name, if there is one."""
        return next((head for head in self.heads if head.name == class_name), None)

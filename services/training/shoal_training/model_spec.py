"""What one trained network is, for whoever runs it: how pixels reach it and what its heads say."""

from dataclasses import dataclass
from typing import Literal

from shoal_core.skeleton import Skeleton
from shoal_training.config import ModelKind, TrainingConfig
from shoal_training.config_checks import CROP_KINDS
from shoal_training.heads import HeadSpec
from shoal_training.networks import PoseNetwork

PEAK_THRESHOLD = 0.2
"""Of confidence maps, as SLEAP's."""


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
    peak_threshold: float = PEAK_THRESHOLD
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


def model_spec(
    config: TrainingConfig, network: PoseNetwork, skeleton: Skeleton, classes: tuple[str, ...] = ()
) -> ModelSpec:
    """Returns what a run's network is.

    Args:
        config: the run's resolved configuration, crop size included.
        network: the run's network, trained or not.
        skeleton: of the labels that it is trained on.
        classes: identities in the order of the heads' channels; of ID models.
    """
    always_there = any(head.output == "spatial_softmax" for head in network.heads)
    return ModelSpec(
        kind=config.kind,
        skeleton=skeleton,
        heads=network.inference_network().heads,
        channels=3 if network.channels == 3 else 1,
        max_stride=network.max_stride,
        classes=classes if config.kind.startswith("multiclass") else (),
        anchor_part=config.data.anchor_part,
        crop_size_px=config.data.crop_size_px if config.kind in CROP_KINDS else None,
        input_scale=config.data.scale,
        # A softmax over the map says where a node is, not whether.
        peak_threshold=0.0 if always_there else PEAK_THRESHOLD,
    )

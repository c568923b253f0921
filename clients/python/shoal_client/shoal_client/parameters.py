"""What shapes the poses of a frame and how they become tracks; None means the default.

Names, ranges and defaults are those of shoal.common.v1 (parameters.proto).
"""

from dataclasses import dataclass
from typing import Literal

Similarity = Literal["oks", "iou", "centroid", "euclidean"]
Assignment = Literal["hungarian", "greedy"]
OverlapMeasure = Literal["none", "iou", "oks"]


@dataclass(frozen=True)
class PartGrouping:
    """How the peaks of a bottom-up model become instances."""

    max_edge_length_ratio: float | None = None
    """Edges longer than this fraction of the frame's longer side are penalized (0.25)."""
    dist_penalty_weight: float | None = None
    """Weight of that penalty (1)."""
    min_instance_peaks: float | None = None
    """Instances with fewer nodes are dropped; below 1: a fraction of the skeleton's nodes (0)."""
    min_line_scores: float | None = None
    """A pair of peaks is joined only if its line score is at least this (0.25)."""
    n_points: int | None = None
    """Samples along the line between two peaks (10)."""


@dataclass(frozen=True)
class ClassGrouping:
    """How the peaks of a bottom-up ID model become the animals of its classes."""

    only_best_class: bool | None = None
    """Whether peaks assigned to another than their most probable class are dropped (False)."""
    peak_value_weight: float | None = None
    """Times its value is added to a peak's class probabilities; 0.0001 breaks ties (0)."""


@dataclass(frozen=True)
class InstanceFilters:
    """Which instances are left out, before `max_instances` is applied and before linking."""

    min_visible_nodes: int | None = None
    """Fewest nodes that an instance must have (0)."""
    min_visible_node_fraction: float | None = None
    """Least part of the skeleton's nodes that it must have, 0 to 1 (0)."""
    min_mean_node_score: float | None = None
    """Least mean confidence of its nodes (0)."""
    min_instance_score: float | None = None
    """Least confidence of the instance (any)."""
    overlapping_method: OverlapMeasure | None = None
    """How the overlap of two instances is measured (none: overlapping ones stay)."""
    overlapping_threshold: float | None = None
    """Of two that overlap by more than this, 0 to 1, the worse one is left out (0.8)."""


@dataclass(frozen=True)
class InferenceParameters:
    """Peak finding, grouping and filters."""

    peak_threshold: float | None = None
    """A confidence-map peak must exceed this (the model's, usually 0.2)."""
    crop_peak_threshold: float | None = None
    """A node in a crop of a model of two stages must (`peak_threshold`, else the model's)."""
    max_instances: int | None = None
    """Most instances kept in a frame, best first (as many as the model returns)."""
    batch_size: int | None = None
    """Frames sent to the engine in one request (16)."""
    part_grouping: PartGrouping | None = None
    """Only for bottom-up models."""
    class_grouping: ClassGrouping | None = None
    """Only for bottom-up ID models."""
    filters: InstanceFilters | None = None
    """Which instances are left out."""


@dataclass(frozen=True)
class WindowTracker:
    """Links each frame's instances with those of a window of recent frames."""

    window_frame_count: int | None = None
    """Recent frames whose instances are candidates (5)."""
    similarity: Similarity | None = None
    """How alike two instances are (euclidean)."""
    assignment: Assignment | None = None
    """How instances and tracks are paired (hungarian)."""
    max_tracks: int | None = None
    """Most tracks of the whole video (`target_instance_count`, else unlimited)."""
    target_instance_count: int | None = None
    """Animals that are there: at most so many instances are kept in a frame (unknown)."""
    min_similarity: float | None = None
    """Pairs less similar than this, from 0 to 1, are never joined (0.05)."""

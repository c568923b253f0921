"""Which instances of a frame are left out: poor ones, and second ones of the same animal.

Axis legend: I instances, N nodes. Frame pixels.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from shoal_core.coordinates import bounding_boxes
from shoal_core.errors import InvalidArgument
from shoal_core.metrics.oks import oks
from shoal_core.pose import FramePoses
from shoal_core.tracking.similarity import box_overlaps

OverlapMeasure = Literal["none", "iou", "oks"]


@dataclass(frozen=True)
class InstanceFilters:
    """What an instance must be like to stay.

    Raises:
        InvalidArgument: FILTER_INVALID when a fraction is outside 0 to 1.
    """

    min_visible_nodes: int = 0
    """Fewest nodes that it has."""
    min_visible_node_fraction: float = 0.0
    """Least part of the skeleton's nodes that it has, 0 to 1."""
    min_mean_node_score: float = 0.0
    """Least mean score of the nodes that it has."""
    min_instance_score: float | None = None
    """Least score of its own; None: any."""
    overlapping_method: OverlapMeasure = "none"
    """How overlap is measured: by bounding boxes, by nodes, or not at all."""
    overlapping_threshold: float = 0.8
    """It overlaps no better instance by more than this, 0 to 1."""

    def __post_init__(self) -> None:
        for name in ("min_visible_node_fraction", "overlapping_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidArgument(
                    "FILTER_INVALID", f"{name} is {value}; give 0 to 1.", field=name, value=value
                )

    @property
    def drop_nothing(self) -> bool:
        """Whether every instance stays."""
        return self == InstanceFilters(overlapping_threshold=self.overlapping_threshold)


def filter_instances(poses: FramePoses, filters: InstanceFilters) -> FramePoses:
    """Returns the instances that stay, in their order.

    First those below a minimum go. Of the others, by falling instance score (among equal ones
    the first), each goes that overlaps one which stays by more than the threshold.
    """
    if filters.drop_nothing or not poses.instance_count:
        return poses
    poses = poses.select(_good_enough(poses, filters))
    match filters.overlapping_method:
        case "none":
            return poses
        case "iou":
            boxes_I4 = bounding_boxes(poses.points_px_IN2)
            overlaps_II = box_overlaps(boxes_I4, boxes_I4)
        case "oks":
            overlaps_II = oks(poses.points_px_IN2, poses.points_px_IN2)
        case _:
            assert_never(filters.overlapping_method)
    return poses.select(_apart(poses, overlaps_II > np.float32(filters.overlapping_threshold)))


def best_scored(poses: FramePoses, most: int | None) -> FramePoses:
    """Returns the `most` instances of the highest scores, in their order; all for None."""
    if most is None or poses.instance_count <= most:
        return poses
    return poses.select(np.sort(np.argsort(-poses.instance_scores_I, kind="stable")[:most]))


def _good_enough(poses: FramePoses, filters: InstanceFilters) -> NDArray[np.bool_]:
    """Thresholds are compared as float32, which scores are and parameters become on the wire."""
    visible_IN = ~np.isnan(poses.points_px_IN2[..., 0])
    counts_I = visible_IN.sum(axis=1)
    fractions_I = (counts_I / visible_IN.shape[1]).astype(np.float32)
    sums_I = np.where(visible_IN, poses.point_scores_IN, 0).sum(axis=1)
    means_I = (sums_I / np.maximum(counts_I, 1)).astype(np.float32)
    good_I: NDArray[np.bool_] = (
        (counts_I >= filters.min_visible_nodes)
        & (fractions_I >= np.float32(filters.min_visible_node_fraction))
        & (means_I >= np.float32(filters.min_mean_node_score))
    )
    if filters.min_instance_score is not None:
        good_I &= poses.instance_scores_I >= np.float32(filters.min_instance_score)
    return good_I


def _apart(poses: FramePoses, overlap_II: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Returns the instances that stay; row a of `overlap_II` says whom the better a overlaps."""
    kept: list[int] = []
    for instance in np.argsort(-poses.instance_scores_I, kind="stable").tolist():
        if not overlap_II[kept, instance].any():
            kept.append(instance)
    return np.sort(np.array(kept, np.intp))

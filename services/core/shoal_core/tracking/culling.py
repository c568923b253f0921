"""Which instances of a frame take part when there are more than there are animals.

Axis legend: I instances, N nodes. Frame pixels.
"""

import numpy as np

from shoal_core.coordinates import bounding_boxes
from shoal_core.pose import FramePoses
from shoal_core.tracking.similarity import pose_similarities

_SAME_ANIMAL = 0.8
"""Euclidean similarity above which two instances are taken for one animal: a mean distance of
0.22 of the animal's size."""


def best_instances(frame: FramePoses, count: int) -> FramePoses:
    """Returns the frame with its best `count` instances at most, in their order.

    By falling instance score, but a second instance of the same animal comes after all others:
    two crops of one animal do not push out the other animal.
    """
    if frame.instance_count <= count:
        return frame
    boxes_I4 = bounding_boxes(frame.points_px_IN2)
    sizes_I = np.hypot(boxes_I4[:, 2] - boxes_I4[:, 0], boxes_I4[:, 3] - boxes_I4[:, 1])
    sizes_I = np.fmax(sizes_I, 1)
    points = frame.points_px_IN2
    alike_II = pose_similarities("euclidean", points, points, sizes_I) > _SAME_ANIMAL
    kept: list[int] = []
    repeated: list[int] = []
    for instance in np.argsort(-frame.instance_scores_I, kind="stable").tolist():
        (repeated if alike_II[instance, kept].any() else kept).append(instance)
    return frame.select(np.sort(np.array((kept + repeated)[:count], np.intp)))

"""How alike two poses are, 0 (far apart) to 1 (the same), relative to the animal's size.

Axis legend: I instances of a new frame, T tracks' remembered poses, N nodes, 2 = (x, y).
Frame pixels; a missing node is NaN.
"""

from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from shoal_core.coordinates import bounding_boxes

Array = NDArray[np.floating[Any]]
Similarity = Literal["euclidean", "oks", "centroid", "iou"]

OKS_SIGMA = 0.1
"""Spread of the OKS kernel for tracking: animals move between frames, so it is four times the
0.025 of evaluation, and areas are squared diagonals, which do not shrink to 0 when a thin
animal lies along an axis."""


def pose_similarities(
    kind: Similarity, points_IN2: Array, tracks_TN2: Array, sizes_px_T: Array
) -> Array:
    """Returns (I, T) similarities of new poses to remembered ones; NaN where undefined.

    With d the distance of two nodes and s the size of the track's animal:

    - "euclidean": mean over the nodes that both have of exp(−d / s);
    - "oks": mean over the nodes that both have of exp(−d² / 2s²(2σ)²), σ = `OKS_SIGMA`;
    - "centroid": exp(−d / s) of the mean of the visible nodes;
    - "iou": intersection over union of the bounding boxes.

    For the first two, poses without a common node get half the centroids' similarity.

    Args:
        kind: which of them.
        points_IN2: new poses.
        tracks_TN2: remembered poses.
        sizes_px_T: the tracks' sizes in pixels, positive.
    """
    match kind:
        case "euclidean" | "oks":
            return _node_similarities(kind, points_IN2, tracks_TN2, sizes_px_T)
        case "centroid":
            return centroid_similarities(centroids(points_IN2), centroids(tracks_TN2), sizes_px_T)
        case "iou":
            return box_overlaps(bounding_boxes(points_IN2), bounding_boxes(tracks_TN2))
        case _:
            assert_never(kind)


def centroids(points_IN2: Array) -> Array:
    """Returns (I, 2) means of the visible nodes; NaN without any."""
    visible_IN = ~np.isnan(points_IN2[..., 0])
    sums_I2 = np.where(visible_IN[..., None], points_IN2, 0).sum(axis=1)
    counts_I1 = visible_IN.sum(axis=1)[:, None]
    return np.where(counts_I1 > 0, sums_I2 / np.maximum(counts_I1, 1), np.nan)


def centroid_similarities(centroids_I2: Array, centroids_T2: Array, sizes_px_T: Array) -> Array:
    """Returns (I, T): exp(−d / s) of the centroids' distance d and the track's size s."""
    return np.exp(-_distances(centroids_I2[:, None] - centroids_T2) / sizes_px_T)


def box_overlaps(boxes_I4: Array, boxes_T4: Array) -> Array:
    """Returns (I, T) intersection over union of boxes (left, top, right, bottom).

    Boxes hold whole pixels: each is one pixel wider and higher than the distance of its sides,
    so that a box of a single node is not empty.
    """
    low_IT2 = np.maximum(boxes_I4[:, None, :2], boxes_T4[:, :2])
    high_IT2 = np.minimum(boxes_I4[:, None, 2:], boxes_T4[:, 2:])
    shared_IT = np.maximum(high_IT2 - low_IT2 + 1, 0).prod(axis=2)
    areas_I = (boxes_I4[:, 2:] - boxes_I4[:, :2] + 1).prod(axis=1)
    areas_T = (boxes_T4[:, 2:] - boxes_T4[:, :2] + 1).prod(axis=1)
    return np.asarray(shared_IT / (areas_I[:, None] + areas_T - shared_IT))


def _node_similarities(
    kind: Literal["euclidean", "oks"], points_IN2: Array, tracks_TN2: Array, sizes_px_T: Array
) -> Array:
    relative_ITN = _distances(points_IN2[:, None] - tracks_TN2) / sizes_px_T[:, None]
    if kind == "euclidean":
        kernel_ITN = np.exp(-relative_ITN)
    else:
        kernel_ITN = np.exp(np.square(relative_ITN) / (-2 * (2 * OKS_SIGMA) ** 2))
    common_ITN = ~np.isnan(kernel_ITN)
    counts_IT = np.count_nonzero(common_ITN, axis=2)
    similarity_IT = np.where(common_ITN, kernel_ITN, 0).sum(axis=2) / np.maximum(counts_IT, 1)
    if counts_IT.all():
        return np.asarray(similarity_IT)
    far_IT = centroid_similarities(centroids(points_IN2), centroids(tracks_TN2), sizes_px_T)
    return np.where(counts_IT > 0, similarity_IT, 0.5 * far_IT)


def _distances(steps: Array) -> Array:
    return np.asarray(np.hypot(steps[..., 0], steps[..., 1]))

"""Object keypoint similarity: how near a predicted pose is, relative to the animal's size.

Axis legend: I true instances, J predicted instances, N nodes, 2 = (x, y). Pixels; a missing
node is NaN.
"""

from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from shoal_core.coordinates import bounding_boxes

Array = NDArray[np.floating[Any]]

SIGMA = 0.025
"""Spread of each node, in square roots of the area (SLEAP's value for every node)."""


def oks(
    truth_IN2: Array,
    predicted_JN2: Array,
    *,
    sigmas_N: float | Array = SIGMA,
    areas_px2_I: Array | None = None,
    form: Literal["software", "paper"] = "software",
) -> NDArray[np.float64]:
    """Returns (I, J) similarities, 0 to 1.

    The mean over the true instance's visible nodes of exp(−d² / 2a(2σ)²), d being the node's
    error and a the true instance's area; a node that was not predicted counts 0, one that is
    not in the truth does not count. This is the form of SLEAP's software and of COCO (Ronchi &
    Perona, ICCV 2017), in which published values are given; form "paper" is the one printed in
    SLEAP's paper, exp(−d² / 2aσ²).

    Args:
        truth_IN2: true poses.
        predicted_JN2: predicted poses.
        sigmas_N: spread of each node, or one for all.
        areas_px2_I: area of each true instance; None: of the bounding box of its visible
            nodes. It is 0 for a pose along one axis, which then matches exactly or not at all.
        form: which of the two formulas.
    """
    match form:
        case "software":
            spread_N = (2 * np.asarray(sigmas_N, float)) ** 2
        case "paper":
            spread_N = np.asarray(sigmas_N, float) ** 2
        case _:
            assert_never(form)
    truth_IN2, predicted_JN2 = truth_IN2.astype(float), predicted_JN2.astype(float)
    if areas_px2_I is None:
        areas_px2_I = box_areas(truth_IN2)
    squared_IJN = np.square(truth_IN2[:, None] - predicted_JN2).sum(axis=3)
    scale_IJN = 2 * (areas_px2_I[:, None, None] + np.spacing(1)) * spread_N
    kernel_IJN = np.exp(-squared_IJN / scale_IJN)
    counts_I = (~np.isnan(truth_IN2[..., 0])).sum(axis=1)
    return np.asarray(np.nan_to_num(kernel_IJN).sum(axis=2) / np.maximum(counts_I, 1)[:, None])


def box_areas(points_IN2: Array) -> Array:
    """Returns (I,) areas of the bounding boxes of the visible nodes, in px²; 0 without any."""
    boxes_I4 = bounding_boxes(points_IN2)
    return np.asarray(np.nan_to_num((boxes_I4[:, 2:] - boxes_I4[:, :2]).prod(axis=1)))

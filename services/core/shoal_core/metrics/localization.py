"""How far predicted nodes are from the true ones, and which nodes were found.

Axis legend: I true instances and J predicted instances of a frame, M matched pairs, N nodes,
2 = (x, y). Pixels; a missing node is NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.assignment import optimal_pairs
from shoal_core.coordinates import bounding_boxes

Array = NDArray[np.floating[Any]]

PCK_RADII_PX = tuple(range(1, 11))
"""Radii over which SLEAP's paper averages the percentage of correct keypoints."""
SMALLEST_REACH_PX = 16.0
"""Reach of a match around an animal of which hardly a node is visible."""


@dataclass(frozen=True, eq=False)
class Localization:
    """Errors of the nodes that are visible in truth and prediction of matched pairs."""

    errors_px: NDArray[np.float64]
    """One per node, in no particular order."""
    truth_visible_count: int
    """Nodes that the matched pairs' truth has."""
    predicted_visible_count: int
    """Nodes that the matched pairs' predictions have."""

    @property
    def mean_px(self) -> float | None:
        """Mean error; None where nothing was matched."""
        return float(self.errors_px.mean()) if len(self.errors_px) else None

    def percentile_px(self, percent: float) -> float | None:
        """Error that so many percent of the nodes do not exceed; None where nothing matched."""
        return float(np.percentile(self.errors_px, percent)) if len(self.errors_px) else None

    def pck(self, radius_px: float) -> float:
        """Percentage of correct keypoints, as a fraction: true nodes found within the radius.

        A true node that was not predicted is not
        correct; a predicted node that the truth lacks does not count.
        """
        return _fraction(int((self.errors_px < radius_px).sum()), self.truth_visible_count)

    @property
    def pck_mean(self) -> float:
        """Mean of `pck` over `PCK_RADII_PX`, as in SLEAP's paper."""
        return float(np.mean([self.pck(radius_px) for radius_px in PCK_RADII_PX]))

    @property
    def visibility_precision(self) -> float:
        """Fraction of the predicted nodes that the truth has too."""
        return _fraction(len(self.errors_px), self.predicted_visible_count)

    @property
    def visibility_recall(self) -> float:
        """Fraction of the true nodes that were predicted, wherever."""
        return _fraction(len(self.errors_px), self.truth_visible_count)


def localization(pairs: Sequence[tuple[Array, Array]]) -> Localization:
    """Returns the errors over matched pairs, each ((M, N, 2) truth, (M, N, 2) prediction)."""
    errors = [np.linalg.norm(truth.astype(float) - predicted, axis=2) for truth, predicted in pairs]
    both = [error_MN[~np.isnan(error_MN)] for error_MN in errors]
    return Localization(
        errors_px=np.concatenate(both) if both else np.zeros(0),
        truth_visible_count=sum(_visible_count(truth) for truth, _ in pairs),
        predicted_visible_count=sum(_visible_count(predicted) for _, predicted in pairs),
    )


def nearness(truth_IN2: Array, predicted_JN2: Array) -> NDArray[np.float64]:
    """Returns (I, J): 1 − mean distance / reach, 0 beyond it or without a common node.

    The mean is over nodes that both have; the reach is the diagonal of the true instance's
    bounding box, a body length. Unlike OKS it tells near misses from far ones at any distance
    within reach, and is defined for poses along one axis.
    """
    steps_IJN2 = truth_IN2[:, None].astype(float) - predicted_JN2
    distances_IJN = np.hypot(steps_IJN2[..., 0], steps_IJN2[..., 1])
    common_IJN = ~np.isnan(distances_IJN)
    counts_IJ = common_IJN.sum(axis=2)
    means_IJ = np.where(common_IJN, distances_IJN, 0).sum(axis=2) / np.maximum(counts_IJ, 1)
    boxes_I4 = bounding_boxes(truth_IN2)
    reach_I = np.hypot(boxes_I4[:, 2] - boxes_I4[:, 0], boxes_I4[:, 3] - boxes_I4[:, 1])
    reach_I1 = np.fmax(reach_I, SMALLEST_REACH_PX)[:, None]
    return np.where(counts_IJ > 0, np.maximum(1 - means_IJ / reach_I1, 0), 0)


def match_instances(
    truth_IN2: Array, predicted_JN2: Array
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns (true_M, predicted_M): who is meant by whom, by greatest summed `nearness`."""
    return optimal_pairs(nearness(truth_IN2, predicted_JN2))


def _visible_count(points_MN2: Array) -> int:
    return int((~np.isnan(points_MN2[..., 0])).sum())


def _fraction(part: int, whole: int) -> float:
    return part / whole if whole else 0.0

"""Grouping by class: which animal is which, where the model itself names identities.

Both kinds of ID models give class probabilities; here they become mutually exclusive
assignments of greatest summed probability (SLEAP, Nature Methods 2022, "Identity models").

Axis legend: N nodes, P places (peaks) per node, K classes (identities), I instances,
2 = (x, y). Frame pixels.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.assignment import optimal_matches
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses

Array = NDArray[np.floating[Any]]

_LIFT = 1e-9
"""Added to probabilities, so that a class of probability 0 is still better than none."""


@dataclass(frozen=True)
class ClassGrouping:
    """How peaks of a bottom-up ID model become the animals of their classes."""

    only_best_class: bool = False
    """Whether a peak assigned to a class other than its most probable one is dropped, as SLEAP's
    software does: fewer wrong nodes, more missing ones."""
    peak_value_weight: float = 0.0
    """Times the peak's value is added to its class probabilities: 0 as in SLEAP. Class maps that
    saturate (many peaks of probability 1) leave the choice to chance; 0.0001 lets the surer
    peak win, without overruling a class map that is not saturated."""


def group_class_parts(
    peaks_px_NP2: Array,
    peak_values_NP: Array,
    class_probabilities_NPK: Array,
    *,
    grouping: ClassGrouping | None = None,
    frame_index: int = 0,
) -> FramePoses:
    """Returns the animals of one frame of a bottom-up ID model: at most one per class.

    For each node, peaks are assigned to classes one to one; what a class received over all
    nodes is its animal. `track_indices_I` is the class index, `tracking_scores_I` the mean
    class probability and `instance_scores_I` the mean peak value of the animal's nodes.
    Animals come in class order; a class without a peak has none.

    Args:
        peaks_px_NP2: peaks of one frame in frame pixels; NaN marks an empty place.
        peak_values_NP: confidence of each peak; becomes the point's score.
        class_probabilities_NPK: probability of each class at each peak.
            Between equally good assignments their order in P decides, which is SLEAP's where
            peaks come in raster order.
        grouping: None means the defaults.
        frame_index: goes into the result.

    Raises:
        InvalidArgument: PARTS_SHAPE_INVALID when the arrays do not fit one another.
    """
    if (
        class_probabilities_NPK.ndim != 3
        or peaks_px_NP2.shape != (*class_probabilities_NPK.shape[:2], 2)
        or peak_values_NP.shape != class_probabilities_NPK.shape[:2]
    ):
        raise InvalidArgument(
            "PARTS_SHAPE_INVALID",
            f"Peaks {peaks_px_NP2.shape}, values {peak_values_NP.shape} and class probabilities "
            f"{class_probabilities_NPK.shape} do not fit one another.",
        )
    grouping = grouping or ClassGrouping()
    node_count, _, class_count = class_probabilities_NPK.shape
    present_NP1 = ~np.isnan(peaks_px_NP2).any(axis=2, keepdims=True)
    probabilities_NPK = np.nan_to_num(class_probabilities_NPK)
    surer_NP1 = grouping.peak_value_weight * peak_values_NP[:, :, None].astype(np.float64)
    gains_NPK = np.where(present_NP1, probabilities_NPK + surer_NP1 + _LIFT, 0)
    node_M, place_M, class_M = optimal_matches(gains_NPK)
    if grouping.only_best_class:
        best_M = gains_NPK[node_M, place_M].max(axis=1) == gains_NPK[node_M, place_M, class_M]
        node_M, place_M, class_M = node_M[best_M], place_M[best_M], class_M[best_M]

    points_KN2 = np.full((class_count, node_count, 2), np.nan, np.float32)
    scores_KN = np.zeros((class_count, node_count), np.float32)
    points_KN2[class_M, node_M] = peaks_px_NP2[node_M, place_M]
    scores_KN[class_M, node_M] = peak_values_NP[node_M, place_M]
    counts_K = np.bincount(class_M, minlength=class_count)
    sums_K = np.bincount(
        class_M, weights=probabilities_NPK[node_M, place_M, class_M], minlength=class_count
    )
    found_K = np.flatnonzero(counts_K)
    counts_I = counts_K[found_K]
    return FramePoses(
        frame_index=frame_index,
        points_px_IN2=points_KN2[found_K],
        point_scores_IN=scores_KN[found_K],
        instance_scores_I=(scores_KN[found_K].sum(axis=1) / counts_I).astype(np.float32),
        track_indices_I=found_K.astype(np.int32),
        tracking_scores_I=(sums_K[found_K] / counts_I).astype(np.float32),
    )


def assign_classes(poses: FramePoses, class_probabilities_IK: Array) -> FramePoses:
    """Returns the animals of a top-down ID model: at most one per class, as its track.

    Instances and classes are assigned one to one. `track_indices_I` is the class index and
    `tracking_scores_I` its probability. As in SLEAP's software, an instance that gets no
    class (there are more than classes), or another than its most probable one, is dropped:
    most often it is a second detection of an animal. The order of the others does not change.

    Raises:
        InvalidArgument: PARTS_SHAPE_INVALID when there is not one row per instance.
    """
    if class_probabilities_IK.ndim != 2 or len(class_probabilities_IK) != poses.instance_count:
        raise InvalidArgument(
            "PARTS_SHAPE_INVALID",
            f"Class probabilities {class_probabilities_IK.shape} do not have one row for each "
            f"of {poses.instance_count} instances.",
        )
    probabilities_IK = np.nan_to_num(class_probabilities_IK)
    _, instance_M, class_M = optimal_matches(probabilities_IK[None].astype(np.float64) + _LIFT)
    matched_M = probabilities_IK[instance_M, class_M]
    best_M = matched_M == probabilities_IK[instance_M].max(axis=1)
    return replace(
        poses.select(instance_M[best_M]),
        track_indices_I=class_M[best_M].astype(np.int32),
        tracking_scores_I=matched_M[best_M].astype(np.float32),
    )

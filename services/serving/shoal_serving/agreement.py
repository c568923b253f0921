"""The parity gate: two ways of computing a model find the same, on the same frames.

Axis legend: I J instances, N nodes, 2 = (x, y), M matches.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.contract import Parity
from shoal_core.assignment import optimal_pairs
from shoal_core.pose import NO_TRACK, FramePoses

MAX_MEDIAN_PX = 0.1
MAX_P99_PX = 0.5


class Disagreement(Exception):
    """How the second way differs from the first; `problem` continues "The network …"."""

    def __init__(self, problem: str, parity: Parity | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.parity = parity
        """How far nodes are apart; None where other animals were found."""


def agreement(
    expected: Sequence[FramePoses], found: Sequence[FramePoses], classes: Sequence[str] = ()
) -> Parity:
    """Returns how the poses of the same frames agree.

    Args:
        expected: The poses of each frame, by the way that is right.
        found: The poses of each frame, by the other way.
        classes: Names of the model's identities, for what a Disagreement says.

    Raises:
        Disagreement: Other instances, another identity, a node that only one has, or nodes
            farther apart than MAX_MEDIAN_PX (median) and MAX_P99_PX (99th percentile).
    """
    distances = [
        _matched(frame, right, other, classes)
        for frame, (right, other) in enumerate(zip(expected, found, strict=True))
    ]
    px = np.concatenate([*distances, np.empty(0)])
    median, p99 = np.percentile(px, (50, 99), method="inverted_cdf") if len(px) else (0.0, 0.0)
    parity = Parity(
        frame_count=len(expected),
        instance_count=sum(poses.instance_count for poses in expected),
        node_count=len(px),
        median_px=float(median),
        p99_px=float(p99),
    )
    if median > MAX_MEDIAN_PX or p99 > MAX_P99_PX:
        raise Disagreement(
            f"is {median:.3g} px off in the median and {p99:.3g} px at the 99th percentile of "
            f"{len(px)} nodes, and {MAX_MEDIAN_PX:g} and {MAX_P99_PX:g} px are allowed",
            parity,
        )
    return parity


def _matched(
    frame: int, expected: FramePoses, found: FramePoses, classes: Sequence[str]
) -> NDArray[np.float64]:
    """Returns the nodes' distances of each match; infinite where only one side has a node."""
    distances_IJN, rows_M, columns_M = match_instances(expected, found)
    if not len(rows_M) == expected.instance_count == found.instance_count:
        raise Disagreement(
            f"finds {found.instance_count} instances in frame {frame} where there should be "
            f"{expected.instance_count}"
        )
    _check_classes(
        frame, expected.track_indices_I[rows_M], found.track_indices_I[columns_M], classes
    )
    in_neither_MN = _is_missing(expected)[rows_M] & _is_missing(found)[columns_M]
    distances_MN = np.nan_to_num(distances_IJN[rows_M, columns_M], nan=np.inf)
    compared: NDArray[np.float64] = distances_MN[~in_neither_MN]
    return compared


def match_instances(
    expected: FramePoses, found: FramePoses
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Returns the distances of all nodes, and which instances of both are nearest to one another.

    Returns:
        distances_IJN, NaN where one side has not found the node; rows_M and columns_M.
    """
    distances_IJN = np.linalg.norm(
        expected.points_px_IN2[:, None].astype(np.float64) - found.points_px_IN2[None], axis=3
    )
    has_IJN = np.isfinite(distances_IJN)
    total_IJ = np.where(has_IJN, distances_IJN, 0).sum(axis=2)
    count_IJ = has_IJN.sum(axis=2)
    mean_IJ = total_IJ / np.maximum(count_IJ, 1)
    rows_M, columns_M = optimal_pairs(np.where(count_IJ > 0, 1 / (1 + mean_IJ), 0))
    return distances_IJN, rows_M, columns_M


def _check_classes(
    frame: int, expected_M: NDArray[np.int32], found_M: NDArray[np.int32], classes: Sequence[str]
) -> None:
    if not np.array_equal(expected_M, found_M):
        right, other = (
            ", ".join(classes[index] if index != NO_TRACK else "none" for index in indices_M)
            for indices_M in (expected_M, found_M)
        )
        raise Disagreement(f"takes the animals of frame {frame} for {other} instead of {right}")


def _is_missing(poses: FramePoses) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(poses.points_px_IN2).any(axis=2), np.bool_)

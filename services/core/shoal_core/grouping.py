"""Bottom-up grouping: which peaks belong to one animal.

Per edge of the skeleton, peaks are matched one to one by line score; the connections are then
joined into animals. In a tree skeleton no two connections can disagree: each peak has at most
one partner per edge, so a way through the connections that returns to a node returns to the
same peak. The order of edges therefore does not matter. In a skeleton with cycles two
connections can disagree; the one with the better score wins. (Cao et al., CVPR 2017; SLEAP,
Nature Methods 2022, "Part grouping".)

Axis legend: N nodes, P places (peaks) per node, E edges, I instances, M connections,
2 = (x, y). Frame pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.assignment import optimal_matches
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class PartGrouping:
    """Parameters of bottom-up grouping, under the names that SLEAP's users know.

    Raises:
        InvalidArgument: GROUPING_INVALID when a value is outside its range.
    """

    max_edge_length_ratio: float = 0.25
    """Longest edge that costs nothing, as a fraction of the frame's longer side."""
    dist_penalty_weight: float = 1.0
    """Factor on the penalty of longer edges; 0 switches it off."""
    min_line_scores: float = 0.25
    """Score (-1 to 1, penalty included) below which two peaks are never joined. Such pairs take no
    part in the matching; SLEAP drops them after it, where they may have cost a good pair its
    place."""
    min_instance_peaks: float = 0.0
    """Fewest peaks of an animal; below 1 it is a fraction of the skeleton's nodes, rounded down
    to whole peaks as in SLEAP."""
    n_points: int = 10
    """Samples along the line between two peaks; for whoever computes the line scores."""

    def __post_init__(self) -> None:
        if self.max_edge_length_ratio <= 0 or self.dist_penalty_weight < 0:
            raise InvalidArgument(
                "GROUPING_INVALID",
                f"max_edge_length_ratio ({self.max_edge_length_ratio}) must be positive and "
                f"dist_penalty_weight ({self.dist_penalty_weight}) must not be negative.",
                max_edge_length_ratio=self.max_edge_length_ratio,
                dist_penalty_weight=self.dist_penalty_weight,
            )


def group_parts(
    peaks_px_NP2: Array,
    peak_values_NP: Array,
    edge_scores_EPP: Array,
    *,
    skeleton: Skeleton,
    frame_size_px: tuple[int, int],
    grouping: PartGrouping = PartGrouping(),
    frame_index: int = 0,
) -> FramePoses:
    """Returns the animals of one frame, best instance score first, without tracks.

    A part of an animal that no connection joins to the rest becomes an instance of its own. A
    peak without any connection belongs to no instance, except in a skeleton without edges,
    where every peak is one. An instance's score is the sum of its connections' scores (as in
    SLEAP, so it may exceed 1), without edges the peak's value.

    Args:
        peaks_px_NP2: peaks of one frame in frame pixels; NaN marks an empty place.
        peak_values_NP: confidence of each peak; becomes the point's score.
        edge_scores_EPP: line score of joining source peak (axis 1) to destination peak (axis
            2) of each of the skeleton's edges, without distance penalty.
        skeleton: nodes and edges, in the order of the arrays' axes.
        frame_size_px: height and width of the frame.
        grouping: thresholds and penalties.
        frame_index: goes into the result.

    Raises:
        InvalidArgument: PARTS_SHAPE_INVALID when the arrays do not fit the skeleton.
    """
    _check_shapes(peaks_px_NP2, peak_values_NP, edge_scores_EPP, skeleton)
    present_NP = ~np.any(np.isnan(peaks_px_NP2), axis=2)
    if skeleton.edges:
        # Empty places come last, so arrays as wide as the fullest node hold every peak.
        width = 1 + int(np.flatnonzero(present_NP.any(axis=0)).max(initial=-1))
        gains_EPP, scores_EPP = _gains(
            peaks_px_NP2[:, :width],
            present_NP[:, :width],
            edge_scores_EPP[:, :width, :width],
            skeleton,
            longest_px=grouping.max_edge_length_ratio * max(frame_size_px),
            grouping=grouping,
        )
        groups = _join(gains_EPP, scores_EPP, skeleton, width)
    else:
        groups = [
            (float(peak_values_NP[node, place]), [(int(node), int(place))])
            for node, place in zip(*np.nonzero(present_NP), strict=True)
        ]
    fewest = _fewest_peaks(grouping.min_instance_peaks, len(skeleton.nodes))
    groups = [group for group in groups if len(group[1]) >= fewest]
    groups.sort(key=lambda group: (-group[0], group[1]))
    return _poses(groups, peaks_px_NP2, peak_values_NP, frame_index)


def _fewest_peaks(min_instance_peaks: float, node_count: int) -> float:
    if min_instance_peaks >= 1:
        return min_instance_peaks
    # In float32, which parameters become on the wire: 0.7 of 10 nodes are 7 there as well.
    return float(np.floor(np.float32(min_instance_peaks) * np.float32(node_count)))


def _gains(
    peaks_px_NP2: Array,
    present_NP: NDArray[np.bool_],
    edge_scores_EPP: Array,
    skeleton: Skeleton,
    *,
    longest_px: float,
    grouping: PartGrouping,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gains for the matching (0: never join) and scores with the distance penalty.

    score = line score + weight · min(longest / length − 1, 0).
    """
    sources_E, destinations_E = np.asarray(skeleton.edges, np.intp).T
    steps_EPP2 = peaks_px_NP2[destinations_E, None] - peaks_px_NP2[sources_E][:, :, None]
    lengths_EPP = np.hypot(steps_EPP2[..., 0], steps_EPP2[..., 1]).astype(np.float64)
    penalties_EPP = np.minimum(longest_px / np.maximum(lengths_EPP, longest_px) - 1, 0)
    scores_EPP = edge_scores_EPP + grouping.dist_penalty_weight * penalties_EPP
    joinable_EPP = present_NP[sources_E][:, :, None] & present_NP[destinations_E][:, None, :]
    joinable_EPP &= scores_EPP >= grouping.min_line_scores  # False for NaN
    # Scores may be negative where the threshold is; a joinable pair must gain something.
    lift = 1e-9 - min(grouping.min_line_scores, 0.0)
    return np.where(joinable_EPP, scores_EPP + lift, 0), scores_EPP


def _join(
    gains_EPP: NDArray[np.float64],
    scores_EPP: NDArray[np.float64],
    skeleton: Skeleton,
    places: int,
) -> list[tuple[float, list[tuple[int, int]]]]:
    """Joins the matched connections, best first; returns (score, sorted peaks) per instance."""
    edge_M, source_M, destination_M = optimal_matches(gains_EPP)
    score_M = scores_EPP[edge_M, source_M, destination_M]
    order_M = np.argsort(-score_M, kind="stable")
    nodes_E2 = np.asarray(skeleton.edges, np.intp)
    ends_M2 = nodes_E2[edge_M] * places + np.stack((source_M, destination_M), axis=1)
    # Union-find over peaks; a group's nodes are bits of an integer.
    root_of: dict[int, int] = {}
    groups: dict[int, tuple[float, list[int], int]] = {}
    for (source, destination), score in zip(
        ends_M2[order_M].tolist(), score_M[order_M].tolist(), strict=True
    ):
        for peak in (source, destination):
            if peak not in root_of:
                root_of[peak] = peak
                groups[peak] = (0.0, [peak], 1 << (peak // places))
        first, second = root_of[source], root_of[destination]
        if first == second:
            total, peaks, nodes = groups[first]
            groups[first] = (total + score, peaks, nodes)
            continue
        total_a, peaks_a, nodes_a = groups[first]
        total_b, peaks_b, nodes_b = groups[second]
        if nodes_a & nodes_b:  # both halves have the node: the better connections stand
            continue
        del groups[second]
        groups[first] = (total_a + total_b + score, peaks_a + peaks_b, nodes_a | nodes_b)
        for peak in peaks_b:
            root_of[peak] = first
    return [
        (total, sorted(divmod(peak, places) for peak in peaks))
        for total, peaks, _ in groups.values()
        if len(peaks) > 1
    ]


def _poses(
    groups: list[tuple[float, list[tuple[int, int]]]],
    peaks_px_NP2: Array,
    peak_values_NP: Array,
    frame_index: int,
) -> FramePoses:
    points_IN2 = np.full((len(groups), len(peaks_px_NP2), 2), np.nan, np.float32)
    scores_IN = np.zeros(points_IN2.shape[:2], np.float32)
    for instance, (_, peaks) in enumerate(groups):
        nodes, places = (list(indices) for indices in zip(*peaks, strict=True))
        points_IN2[instance, nodes] = peaks_px_NP2[nodes, places]
        scores_IN[instance, nodes] = peak_values_NP[nodes, places]
    instance_scores_I = np.array([total for total, _ in groups], np.float32)
    return FramePoses.untracked(frame_index, points_IN2, scores_IN, instance_scores_I)


def _check_shapes(
    peaks_px_NP2: Array, peak_values_NP: Array, edge_scores_EPP: Array, skeleton: Skeleton
) -> None:
    nodes, edges = len(skeleton.nodes), len(skeleton.edges)
    places = peaks_px_NP2.shape[1] if peaks_px_NP2.ndim == 3 else -1
    if (
        peaks_px_NP2.shape != (nodes, places, 2)
        or peak_values_NP.shape != (nodes, places)
        or (edges and edge_scores_EPP.shape != (edges, places, places))
    ):
        raise InvalidArgument(
            "PARTS_SHAPE_INVALID",
            f"Peaks {peaks_px_NP2.shape}, values {peak_values_NP.shape} and edge scores "
            f"{edge_scores_EPP.shape} do not fit skeleton {skeleton.name!r} with {nodes} nodes "
            f"and {edges} edges.",
            skeleton=skeleton.name,
        )

"""How right predictions are node by node.

Axis legend: M matched pairs, N nodes, 2 = (x, y).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal_core.metrics.evaluation import matched_points
from shoal_core.metrics.localization import Localization, localization
from shoal_core.pose import FramePoses


@dataclass(frozen=True)
class NodeAccuracy:
    """Accuracy of one node over matched pairs; a distance is None where it was never found."""

    name: str
    truth_count: int
    """Matched pairs whose truth has the node."""
    found_count: int
    """Those of them whose prediction has it, too."""
    dist_mean_px: float | None
    dist_p50_px: float | None
    dist_p75_px: float | None
    dist_p90_px: float | None
    dist_p95_px: float | None
    dist_p99_px: float | None
    pck_mean: float
    """Percentage of correct keypoints, as a fraction: mean over radii of 1 to 10 px."""
    visibility_precision: float
    """Fraction of its predictions where the truth has it, too."""
    visibility_recall: float
    """Fraction of its true occurrences that were predicted, wherever."""


def node_localization(
    pairs: Sequence[tuple[FramePoses, FramePoses]], node_count: int
) -> tuple[Localization, ...]:
    """Returns the errors of each node over the matched pairs of (truth, prediction).

    Raises:
        InvalidArgument: NODES_DIFFER when truth and prediction have other numbers of nodes.
    """
    matched = matched_points(pairs)
    return tuple(
        localization([(truth[:, node, None], found[:, node, None]) for truth, found in matched])
        for node in range(node_count)
    )


def node_accuracy(
    pairs: Sequence[tuple[FramePoses, FramePoses]], nodes: Sequence[str]
) -> tuple[NodeAccuracy, ...]:
    """Returns the accuracy of each node, in the order of the skeleton's names.

    Raises:
        InvalidArgument: NODES_DIFFER when truth and prediction have other numbers of nodes.
    """
    return tuple(
        NodeAccuracy(
            name=name,
            truth_count=errors.truth_visible_count,
            found_count=len(errors.errors_px),
            dist_mean_px=errors.mean_px,
            dist_p50_px=errors.percentile_px(50),
            dist_p75_px=errors.percentile_px(75),
            dist_p90_px=errors.percentile_px(90),
            dist_p95_px=errors.percentile_px(95),
            dist_p99_px=errors.percentile_px(99),
            pck_mean=errors.pck_mean,
            visibility_precision=errors.visibility_precision,
            visibility_recall=errors.visibility_recall,
        )
        for name, errors in zip(nodes, node_localization(pairs, len(nodes)), strict=True)
    )

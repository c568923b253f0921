"""Comparing predictions with labels: the figures that `shoal eval` prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_core.metrics.average_precision import AveragePrecision, average_precision
from shoal_core.metrics.localization import PCK_RADII_PX, localization, match_instances
from shoal_core.metrics.oks import oks
from shoal_core.pose import FramePoses


@dataclass(frozen=True)
class PoseAccuracy:
    """Accuracy over labelled frames; a distance is None where nothing was matched."""

    map: float
    """Mean average precision over OKS 0.50 to 0.95, 0 to 1."""
    mar: float
    """Mean average recall over OKS 0.50 to 0.95, 0 to 1."""
    oks_mean: float | None
    """Mean OKS of the matched pairs."""
    dist_mean_px: float | None
    """Mean error of the nodes visible in both of a matched pair."""
    dist_p50_px: float | None
    """Median of these errors."""
    dist_p95_px: float | None
    """Error that 95 % of these nodes do not exceed."""
    pck_mean: float
    """Percentage of correct keypoints, as a fraction: mean over `pck`."""
    pck: tuple[float, ...]
    """Matched pairs' true nodes that were found within 1, 2 … 10 px, as fractions."""
    visibility_precision: float
    """Fraction of the predicted nodes of matched pairs that the truth has too."""
    visibility_recall: float
    """Fraction of the true nodes of matched pairs that were predicted, wherever."""
    matched_count: int
    """True instances with a prediction within a body length."""
    missed_count: int
    """True instances without."""


def pair_frames(
    truth: Iterable[FramePoses], predicted: Iterable[FramePoses]
) -> list[tuple[FramePoses, FramePoses]]:
    """Returns (truth, prediction) for each true frame of one video, in order of frames.

    A frame that was not predicted gets an empty prediction; one that is not labelled is left
    out.

    Raises:
        InvalidArgument: FRAME_REPEATED when a frame comes twice in one of the two.
    """
    truth_by_index, predicted_by_index = _by_index(truth), _by_index(predicted)
    return [
        (frame, predicted_by_index.get(index, frame.select(np.zeros(0, np.intp))))
        for index, frame in sorted(truth_by_index.items())
    ]


def evaluate(pairs: Sequence[tuple[FramePoses, FramePoses]]) -> PoseAccuracy:
    """Returns the accuracy of predictions over (truth, prediction) pairs of frames.

    Pairs of several videos may be concatenated. mAP and mAR match by OKS and instance score
    (`average_precision`); the other figures are of pairs matched by distance
    (`match_instances`).

    Raises:
        InvalidArgument: NO_GROUND_TRUTH when no frame has a true instance.
        InvalidArgument: NODES_DIFFER when truth and prediction have other numbers of nodes.
    """
    matched = matched_points(pairs)
    ranked = oks_precision(pairs)
    errors = localization(matched)
    oks_M = np.concatenate([np.diag(oks(true, found)) for true, found in matched])
    truth_count = sum(truth.instance_count for truth, _ in pairs)
    return PoseAccuracy(
        map=ranked.map,
        mar=ranked.mar,
        oks_mean=float(oks_M.mean()) if len(oks_M) else None,
        dist_mean_px=errors.mean_px,
        dist_p50_px=errors.percentile_px(50),
        dist_p95_px=errors.percentile_px(95),
        pck_mean=errors.pck_mean,
        pck=tuple(errors.pck(radius_px) for radius_px in PCK_RADII_PX),
        visibility_precision=errors.visibility_precision,
        visibility_recall=errors.visibility_recall,
        matched_count=len(oks_M),
        missed_count=truth_count - len(oks_M),
    )


def oks_precision(pairs: Sequence[tuple[FramePoses, FramePoses]]) -> AveragePrecision:
    """Returns precision and recall by OKS and instance score, of (truth, prediction) pairs.

    Raises:
        InvalidArgument: NO_GROUND_TRUTH when no frame has a true instance.
    """
    return average_precision(
        [
            (oks(truth.points_px_IN2, predicted.points_px_IN2), predicted.instance_scores_I)
            for truth, predicted in pairs
        ]
    )


def matched_points(
    pairs: Sequence[tuple[FramePoses, FramePoses]],
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Returns per frame the points (M, N, 2) of true instances and of those that found them.

    Raises:
        InvalidArgument: NODES_DIFFER when truth and prediction have other numbers of nodes.
    """
    matched = []
    for truth, predicted in pairs:
        nodes, predicted_nodes = truth.points_px_IN2.shape[1], predicted.points_px_IN2.shape[1]
        if nodes != predicted_nodes:
            raise InvalidArgument(
                "NODES_DIFFER",
                f"Frame {truth.frame_index} has {nodes} nodes in the truth and {predicted_nodes} "
                "in the predictions; compare the same skeleton.",
                frame_index=truth.frame_index,
            )
        true_M, predicted_M = match_instances(truth.points_px_IN2, predicted.points_px_IN2)
        matched.append((truth.points_px_IN2[true_M], predicted.points_px_IN2[predicted_M]))
    return matched


def _by_index(frames: Iterable[FramePoses]) -> dict[int, FramePoses]:
    by_index: dict[int, FramePoses] = {}
    for frame in frames:
        if frame.frame_index in by_index:
            raise InvalidArgument(
                "FRAME_REPEATED",
                f"Frame {frame.frame_index} comes twice; merge its instances first.",
                frame_index=frame.frame_index,
            )
        by_index[frame.frame_index] = frame
    return by_index

"""All pictures of an evaluation, as they lie in a run's `plots/`.

Axis legend: I instances, N nodes, 2 = (x, y).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.coordinates import crop_origins, frame_to_crop, instance_centroids
from shoal_core.metrics.evaluation import oks_precision
from shoal_core.metrics.nodes import node_localization
from shoal_training.labelled_set import LabelledSet
from shoal_training.network_input import crop_side
from shoal_training.plots.error_circles import draw_error_circles
from shoal_training.plots.map_overlay import draw_map_overlay
from shoal_training.plots.node_errors import draw_node_errors
from shoal_training.plots.precision_recall import draw_precision_recall
from shoal_training.predict import Predictor
from shoal_training.scored_frames import ScoredFrame
from shoal_training.spread import spread

_OVERLAYS = 3
"""Frames whose confidence maps are drawn, spread over all of them."""


def draw_evaluation(
    folder: Path,
    predictor: Predictor,
    labelled: LabelledSet,
    scored: Sequence[ScoredFrame],
    *,
    px_per_mm: float | None = None,
) -> None:
    """Draws what was measured.

    `node_errors.png`, `error_circles.png` and `precision_recall.png` (not of centroid models),
    and `confidence_<number>.png` of some frames.

    Args:
        folder: where to; made where it is not there.
        predictor: the model.
        labelled: the labels that were scored.
        scored: at least one frame with an animal (`score_frames`).
        px_per_mm: scale, where it is known.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    spec = predictor.spec
    if spec.kind != "centroid":
        pairs = [frame.pair for frame in scored]
        nodes = spec.skeleton.nodes
        errors = node_localization(pairs, len(nodes))
        draw_node_errors(folder / "node_errors.png", nodes, errors, px_per_mm=px_per_mm)
        frame, animal = _clearest(scored)
        draw_error_circles(
            folder / "error_circles.png",
            labelled.image(frame.labelled),
            frame.truth.points_px_IN2[animal],
            spec.skeleton,
            errors,
            px_per_mm=px_per_mm,
        )
        draw_precision_recall(folder / "precision_recall.png", oks_precision(pairs))
    for number, frame in enumerate(spread(scored, _OVERLAYS)):
        _draw_maps(folder / f"confidence_{number}.png", predictor, labelled, frame)


def _clearest(scored: Sequence[ScoredFrame]) -> tuple[ScoredFrame, int]:
    """Returns the first animal with the most visible nodes, and its frame."""
    counts = [
        (int((~np.isnan(points_N2[:, 0])).sum()), -row, -animal)
        for row, frame in enumerate(scored)
        for animal, points_N2 in enumerate(frame.truth.points_px_IN2)
    ]
    _, row, animal = max(counts)
    return scored[-row], -animal


def _draw_maps(path: Path, predictor: Predictor, labelled: LabelledSet, frame: ScoredFrame) -> None:
    spec, points_IN2 = predictor.spec, frame.truth.points_px_IN2
    centroids_12: NDArray[np.float32] | None = None
    if spec.sees_crops:
        # The first animal's crop is the picture.
        points_IN2 = points_IN2[:1]
        centroids_12 = instance_centroids(points_IN2, spec.anchor_node).astype(np.float32)
        points_IN2 = frame_to_crop(points_IN2, crop_origins(centroids_12, crop_side(spec)))
    seen = predictor.see(labelled.image(frame.labelled), centroids_12)
    head = predictor.confidence
    points_IN2 = points_IN2 * np.float32(spec.input_scale)
    draw_map_overlay(path, seen.images_BCHW[0], seen.outputs[head.name][0], head.stride, points_IN2)

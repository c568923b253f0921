"""How good a trained network is on labelled frames: the figures of `metrics.json`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shoal_core.coordinates import bounding_boxes
from shoal_core.errors import InvalidArgument
from shoal_core.metrics import PoseAccuracy, evaluate
from shoal_core.metrics.classes import ClassAccuracy, class_accuracy
from shoal_core.metrics.detection import DetectionAccuracy, detection_accuracy
from shoal_core.metrics.nodes import NodeAccuracy, node_accuracy
from shoal_training.config import ModelKind
from shoal_training.labelled_set import LabelledSet
from shoal_training.model_spec import ModelSpec
from shoal_training.predict import Predictor
from shoal_training.scored_frames import ScoredFrame, score_frames

CENTROID_RADIUS_BODIES = 0.25
"""Distance within which a centroid is found, in body lengths (median diagonal of the labelled
animals' bounding boxes): a crop around it still holds the animal."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of one network on one set of labelled frames."""

    kind: ModelKind
    frame_count: int
    instance_count: int
    """Labelled animals."""
    px_per_mm: float | None
    """Pixels of the frame per millimetre; None: not known, and no figure is in millimetres."""
    poses: PoseAccuracy | None
    """None of centroid models."""
    nodes: tuple[NodeAccuracy, ...]
    """In the order of the skeleton; none of centroid models."""
    centroids: DetectionAccuracy | None
    """Of centroid models only."""
    identities: ClassAccuracy | None
    """Of ID models only."""
    classes: tuple[str, ...]
    """Names of the rows and columns of the identities' confusion."""

    def figures(self) -> dict[str, Any]:
        """Returns every figure as JSON values; with a scale, each distance in mm as well."""
        figures = asdict(self)
        if self.centroids is not None:
            figures["centroids"]["precision"] = self.centroids.precision
            figures["centroids"]["recall"] = self.centroids.recall
        if self.identities is not None:
            figures["identities"]["accuracy"] = self.identities.accuracy
        with_mm = _in_mm(figures, self.px_per_mm) if self.px_per_mm else figures
        plain: dict[str, Any] = json.loads(json.dumps(with_mm))
        return plain

    def to_json(self) -> str:
        """Returns the contents of `metrics.json`."""
        return json.dumps(self.figures(), indent=2, allow_nan=False) + "\n"


def evaluate_split(
    predictor: Predictor,
    labelled: LabelledSet,
    indices: Sequence[int],
    *,
    px_per_mm: float | None = None,
) -> Evaluation:
    """Returns the figures of a network on some labelled frames.

    Models that see crops are told where the labelled animals' centroids are, so that their
    figures are those of their own stage.

    Args:
        predictor: the network.
        labelled: labels with the network's nodes.
        indices: into `labelled.frames`.
        px_per_mm: scale, where it is known.

    Raises:
        InvalidArgument: NO_GROUND_TRUTH without a labelled animal; NODES_DIFFER.
    """
    scored = score_frames(predictor, labelled, indices)
    return evaluate_frames(scored, predictor.spec, px_per_mm=px_per_mm)


def evaluate_frames(
    scored: Sequence[ScoredFrame], spec: ModelSpec, *, px_per_mm: float | None = None
) -> Evaluation:
    """Returns the figures of frames that were scored already.

    Raises:
        InvalidArgument: NO_GROUND_TRUTH without a labelled animal.
    """
    pairs = [frame.pair for frame in scored]
    instance_count = sum(truth.instance_count for truth, _ in pairs)
    if not instance_count:
        raise InvalidArgument(
            "NO_GROUND_TRUTH", "There is no labelled animal to compare with; label some frames."
        )
    is_centroid = spec.kind == "centroid"
    return Evaluation(
        kind=spec.kind,
        frame_count=len(scored),
        instance_count=instance_count,
        px_per_mm=px_per_mm,
        poses=None if is_centroid else evaluate(pairs),
        nodes=() if is_centroid else node_accuracy(pairs, spec.skeleton.nodes),
        centroids=_centroid_accuracy(scored) if is_centroid else None,
        identities=class_accuracy(pairs, len(spec.classes)) if spec.classes else None,
        classes=spec.classes,
    )


def _centroid_accuracy(scored: Sequence[ScoredFrame]) -> DetectionAccuracy:
    boxes = np.concatenate([bounding_boxes(frame.labelled.points_px_IN2) for frame in scored])
    body_px = float(np.median(np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)))
    # Animals of which one node is labelled have no length: a pixel is the least radius.
    radius_px = max(CENTROID_RADIUS_BODIES * body_px, 1.0)
    points = [
        (frame.truth.points_px_IN2[:, 0], frame.predicted.points_px_IN2[:, 0]) for frame in scored
    ]
    return detection_accuracy(points, radius_px)


def _in_mm(value: Any, px_per_mm: float) -> Any:
    """Returns the figures with a "…_mm" beside each "…_px" that is a distance."""
    if isinstance(value, list | tuple):
        return [_in_mm(item, px_per_mm) for item in value]
    if not isinstance(value, dict):
        return value
    figures = {}
    for key, item in value.items():
        figures[key] = _in_mm(item, px_per_mm)
        if key.endswith("_px") and item is not None:
            figures[f"{key.removesuffix('_px')}_mm"] = item / px_per_mm
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Scores a run's network on labels; returns the exit status."""
    # The parts of the command are of no use to those who import the figures.
    from shoal_training.evaluate_command import run_command

    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Predictions beside the labels of the same frames: what every figure and picture is made of.

Axis legend: I instances, N nodes, 2 = (x, y).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal_core.coordinates import instance_centroids
from shoal_core.errors import InvalidArgument
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.skeleton import Skeleton
from shoal_training.labelled_set import NO_CLASS, LabelledFrame, LabelledSet
from shoal_training.model_spec import ModelSpec
from shoal_training.predict import Predictor


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """A labelled frame and what a model finds in it."""

    labelled: LabelledFrame
    truth: FramePoses
    """The labels with the model's nodes, in its order, and its classes as tracks; of centroid
    models the centroids, as instances of one node."""
    predicted: FramePoses

    @property
    def pair(self) -> tuple[FramePoses, FramePoses]:
        """Truth and prediction."""
        return self.truth, self.predicted


def score_frames(
    predictor: Predictor,
    labelled: LabelledSet,
    indices: Sequence[int],
    *,
    class_names: Mapping[str, str] | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> list[ScoredFrame]:
    """Returns labelled frames with what the model finds in them.

    Models that see crops are told where the labelled animals' centroids are. That leaves them
    nothing to score animals by (alone, they give each a 1); what ranks animals in the average
    precision is the mean of their nodes' scores then, where a node that is not found counts 0.
    Damaged frames are left out, with a warning.

    Args:
        predictor: the model.
        labelled: labels with the model's nodes, in any order.
        indices: into `labelled.frames`.
        class_names: the labels' name of an identity → the model's; None: the names are the same.
            Animals of other names count as having no identity.
        heartbeat: called after every frame.

    Raises:
        InvalidArgument: NODES_DIFFER when the labels have other nodes than the model.
    """
    truths = _Truths(predictor.spec, labelled, class_names or {})
    scored = []
    for frame in sorted(
        (labelled.frames[index] for index in indices),
        # Videos are read fastest in their own order.
        key=lambda frame: (frame.video_index, frame.frame_index),
    ):
        image_HWC = labelled.readable_image(frame)
        if image_HWC is not None:
            centroids_I2 = truths.centroids(frame) if predictor.spec.sees_crops else None
            predicted = predictor(image_HWC, centroids_I2, frame.frame_index)
            if predictor.spec.sees_crops:
                means_I = predicted.point_scores_IN.mean(axis=1)
                predicted = replace(predicted, instance_scores_I=means_I)
            scored.append(ScoredFrame(frame, truths.of(frame), predicted))
        heartbeat()
    return scored


class _Truths:
    """Labels in the words of a model."""

    def __init__(
        self, spec: ModelSpec, labelled: LabelledSet, class_names: Mapping[str, str]
    ) -> None:
        self._spec = spec
        self._order_N = _node_order(spec.skeleton, labelled.skeleton)
        names = [class_names.get(name, name) for name in labelled.classes]
        self._classes = {NO_CLASS: NO_TRACK} | {
            index: spec.classes.index(name) if name in spec.classes else NO_TRACK
            for index, name in enumerate(names)
        }

    def centroids(self, frame: LabelledFrame) -> NDArray[np.float32]:
        """Returns where the animals of a frame are: (I, 2), pixels."""
        points_IN2 = frame.points_px_IN2[:, self._order_N]
        return instance_centroids(points_IN2, self._spec.anchor_node).astype(np.float32)

    def of(self, frame: LabelledFrame) -> FramePoses:
        points_IN2 = frame.points_px_IN2[:, self._order_N]
        if self._spec.kind == "centroid":
            points_IN2 = self.centroids(frame)[:, None]
        count = len(points_IN2)
        return FramePoses(
            frame_index=frame.frame_index,
            points_px_IN2=points_IN2,
            point_scores_IN=(~np.isnan(points_IN2[..., 0])).astype(np.float32),
            instance_scores_I=np.ones(count, np.float32),
            track_indices_I=np.array(
                [self._classes[int(index)] for index in frame.class_indices_I], np.int32
            ),
            tracking_scores_I=np.zeros(count, np.float32),
        )


def _node_order(model: Skeleton, labels: Skeleton) -> NDArray[np.intp]:
    """Returns, for each node of the model, its index in the labels."""
    differing = sorted(set(model.nodes) ^ set(labels.nodes))
    if differing:
        raise InvalidArgument(
            "NODES_DIFFER",
            f"The model and the labels have other nodes ({', '.join(differing)} only in one of "
            "them); score it on labels of the same skeleton.",
            nodes=",".join(differing),
        )
    return np.array([labels.nodes.index(node) for node in model.nodes], np.intp)

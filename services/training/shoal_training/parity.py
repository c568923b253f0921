"""Real frames for a model folder, with what the trained network finds in them.

Axis legend: F frames, I instances, N nodes, K classes, H W frame pixels, C channels, 2 = (x, y).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.class_grouping import assign_classes
from shoal_core.coordinates import instance_centroids
from shoal_core.pose import FramePoses
from shoal_training.export import ParityFrames
from shoal_training.labelled_set import LabelledFrame, LabelledSet
from shoal_training.predict import Predictor
from shoal_training.spread import spread

FRAME_COUNT = 8
MAX_BYTES = 64 * 2**20
"""Of all images together."""


def find_parity_frames(
    predictor: Predictor,
    labelled: LabelledSet,
    frames: Sequence[LabelledFrame],
    heartbeat: Callable[[], None],
) -> ParityFrames:
    """Returns some frames of one size, spread over those given, and what is found in them.

    Args:
        predictor: The trained network, along the path of serving.
        labelled: Labels; of crops they say where animals are.
        frames: Of the labels, at least one, all readable.
        heartbeat: Called after every frame.
    """
    images, centroids, found = [], [], []
    for frame in _chosen(labelled, frames):
        images.append(labelled.image(frame))
        centroids.append(instance_centroids(frame.points_px_IN2, predictor.spec.anchor_node))
        found.append(_found(predictor, images[-1], centroids[-1].astype(np.float32)))
        heartbeat()
    classes = [poses.track_indices_I.astype(np.int64) for poses in found]
    return ParityFrames(
        images_FHWC=np.stack(images),
        points_px_FIN2=_padded([poses.points_px_IN2 for poses in found], np.nan),
        centroids_px_FI2=_padded(centroids, np.nan) if predictor.spec.sees_crops else None,
        class_indices_FI=_padded(classes, -1).astype(np.int64) if predictor.spec.classes else None,
    )


def _chosen(labelled: LabelledSet, frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    size_hw = labelled.frame_size_px(frames[0])
    alike = [frame for frame in frames if labelled.frame_size_px(frame) == size_hw]
    fitting = max(1, MAX_BYTES // (size_hw[0] * size_hw[1] * labelled.channels))
    return spread(alike, min(FRAME_COUNT, fitting))


def _found(
    predictor: Predictor, image_HWC: NDArray[np.uint8], centroids_I2: NDArray[np.float32]
) -> FramePoses:
    """Returns the poses; of crops also those without any node, so that each keeps its place."""
    if not predictor.spec.sees_crops:
        return predictor(image_HWC)
    crops = predictor.in_crops(image_HWC, centroids_I2)
    ones_I = np.ones(len(crops.points_px_IN2), np.float32)
    poses = FramePoses.untracked(0, crops.points_px_IN2, crops.point_scores_IN, ones_I)
    return poses if crops.classes_IK is None else assign_classes(poses, crops.classes_IK)


def _padded(rows: Sequence[NDArray[Any]], filling: float) -> NDArray[np.float32]:
    """Returns [F, I, …], with `filling` for the instances that a frame has fewer."""
    count = max(1, *(len(row) for row in rows))
    padded = np.full((len(rows), count, *rows[0].shape[1:]), filling, np.float32)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded

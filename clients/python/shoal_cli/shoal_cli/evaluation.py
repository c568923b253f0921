"""The figures of `shoal eval`: predictions of a SLEAP file against labels of another.

Axis legend: N nodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_cli import messages
from shoal_core.errors import InvalidArgument
from shoal_core.metrics import PoseAccuracy, evaluate, pair_frames
from shoal_core.metrics.identity import IdentityAccuracy, identity_accuracy
from shoal_core.metrics.nodes import NodeAccuracy, node_accuracy
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_media.labels_file import LabelsFile, VideoPoses, find_video, read_labels

Pairs = list[tuple[FramePoses, FramePoses]]


@dataclass(frozen=True)
class FileAccuracy:
    """How right a file of predictions is."""

    poses: PoseAccuracy
    nodes: tuple[NodeAccuracy, ...]
    identities: IdentityAccuracy | None
    """Summed over the videos; None where labels or predictions have no tracks."""


def evaluate_files(truth_path: Path, predicted_path: Path) -> FileAccuracy:
    """Returns the accuracy of predictions over the labelled frames of the truth.

    Videos are matched by file name, frames by index, nodes by name.

    Raises:
        NotFound: LABELS_NOT_FOUND, VIDEO_NOT_FOUND.
        InvalidArgument: LABELS_UNREADABLE, NODES_DIFFER, NO_GROUND_TRUTH.
    """
    truth = read_labels(truth_path, prefer="user")
    predicted = read_labels(predicted_path, prefer="predicted")
    order_N = _node_order(truth, predicted)
    videos: list[Pairs] = []
    for video in truth.videos:
        if not video.frames:
            continue
        other = _counterpart(video, truth, predicted)
        _warn_of_gaps(video, other)
        reordered = [_reordered(frame, order_N) for frame in other.frames]
        videos.append(pair_frames(video.frames, reordered))
    pairs = [pair for of_video in videos for pair in of_video]
    return FileAccuracy(
        poses=evaluate(pairs),
        nodes=node_accuracy(pairs, truth.skeleton.nodes),
        identities=_identities(videos),
    )


def _identities(videos: Sequence[Pairs]) -> IdentityAccuracy | None:
    """Returns the sum of the counts of each video: a track is one animal within its video."""
    for side in (0, 1):
        if not any((pair[side].track_indices_I != NO_TRACK).any() for p in videos for pair in p):
            return None
    counts = [identity_accuracy(pairs) for pairs in videos]
    return IdentityAccuracy(
        *(sum(getattr(count, field.name) for count in counts) for field in fields(IdentityAccuracy))
    )


def _counterpart(video: VideoPoses, truth: LabelsFile, predicted: LabelsFile) -> VideoPoses:
    """Returns the video of the same name, or the only one there is."""
    if len(truth.videos) == len(predicted.videos) == 1 and predicted.videos[0].name != video.name:
        other = predicted.videos[0]
        messages.warning(f"{truth.path} is about {video.name}, {predicted.path} about {other.name}")
        return other
    return find_video(predicted.videos, video.name, predicted.path)


def _warn_of_gaps(truth: VideoPoses, predicted: VideoPoses) -> None:
    indices = {frame.frame_index for frame in predicted.frames}
    gaps = [frame.frame_index for frame in truth.frames if frame.frame_index not in indices]
    if gaps:
        messages.warning(
            f"{len(gaps)} of {len(truth.frames)} labelled frames of {truth.name} have no "
            f"predictions (the first is {gaps[0]}); their animals count as missed"
        )


def _node_order(truth: LabelsFile, predicted: LabelsFile) -> NDArray[np.intp]:
    """Returns, for each node of the truth, its index in the predictions."""
    ours, theirs = truth.skeleton.nodes, predicted.skeleton.nodes
    if set(ours) != set(theirs):
        missing = ", ".join(sorted(set(ours) ^ set(theirs)))
        raise InvalidArgument(
            "NODES_DIFFER",
            f"{truth.path} and {predicted.path} have different nodes ({missing} only in one of "
            "them); compare the same skeleton.",
        )
    return np.array([theirs.index(node) for node in ours], np.intp)


def _reordered(frame: FramePoses, order_N: NDArray[np.intp]) -> FramePoses:
    return replace(
        frame,
        points_px_IN2=frame.points_px_IN2[:, order_N],
        point_scores_IN=frame.point_scores_IN[:, order_N],
    )

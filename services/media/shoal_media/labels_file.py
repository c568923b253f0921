"""A SLEAP file in memory, as the poses of each of its videos.

Axis legend: I instances, N nodes, 2 = (x, y).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument, NotFound
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.video_path import video_file_name

Preference = Literal["user", "predicted"]


@dataclass(frozen=True)
class VideoPoses:
    """The labelled frames of one video."""

    name: str
    """File name of the video, without folders: these differ between machines."""
    frames: tuple[FramePoses, ...]
    """In increasing order."""
    stored_at: str | tuple[str, ...]
    """Where the labels say that its pixels are: a path as `open_video` takes it, or the paths of
    the images of a sequence. Often that of another machine."""


@dataclass(frozen=True)
class LabelsFile:
    """What a SLEAP file says."""

    path: Path
    skeleton: Skeleton
    track_names: tuple[str, ...]
    videos: tuple[VideoPoses, ...]
    kept: Preference
    """Whose instances these are."""


def read_labels(path: Path, *, prefer: Preference) -> LabelsFile:
    """Returns the labels of a file.

    Args:
        path: A .slp or .pkg.slp file.
        prefer: Instances to keep, made by people or by a model, where the file has any of them;
            all of them otherwise.

    Raises:
        NotFound: LABELS_NOT_FOUND.
        InvalidArgument: LABELS_UNREADABLE when it is no SLEAP file, a damaged one, or has no or
            several skeletons; SKELETON_INVALID.
    """
    labels = load_slp(path)
    if len(labels.skeletons) != 1:
        raise _unreadable(path, f"it has {len(labels.skeletons)} skeletons, expected one")
    skeleton = labels.skeletons[0]
    kind = _kept_kind(labels, prefer)
    frames: dict[int, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for labeled in labels.labeled_frames:
        kept = [each for each in labeled.instances if kind is None or type(each) is kind]
        frames[labels.videos.index(labeled.video)][labeled.frame_idx] += kept
    tracks = {id(track): index for index, track in enumerate(labels.tracks)}
    return LabelsFile(
        path=path,
        skeleton=Skeleton(
            name=skeleton.name or "",
            nodes=tuple(skeleton.node_names),
            edges=tuple((int(a), int(b)) for a, b in skeleton.edge_inds),
            symmetries=_symmetries(skeleton),
        ),
        track_names=tuple(track.name for track in labels.tracks),
        kept=prefer if kind else "predicted" if prefer == "user" else "user",
        videos=tuple(
            VideoPoses(
                name=video_name(video),
                frames=tuple(
                    _frame_poses(frame_index, instances, len(skeleton.nodes), tracks)
                    for frame_index, instances in sorted(frames[index].items())
                ),
                stored_at=_stored_at(video),
            )
            for index, video in enumerate(labels.videos)
        ),
    )


def find_video(videos: Sequence[VideoPoses], name: str, path: Path) -> VideoPoses:
    """Returns the one video of that file name.

    Raises:
        NotFound: VIDEO_NOT_FOUND when there is none, or more than one.
    """
    matching = [video for video in videos if video.name == name]
    if len(matching) != 1:
        names = ", ".join(video.name for video in videos) or "none"
        raise NotFound(
            "VIDEO_NOT_FOUND",
            f"{path} has {len(matching)} videos named {name}, expected one; it has {names}.",
            path=path,
        )
    return matching[0]


def load_slp(path: Path) -> Any:
    """Returns the `sleap_io.Labels` of a file.

    Raises:
        NotFound: LABELS_NOT_FOUND.
        InvalidArgument: LABELS_UNREADABLE when it is no SLEAP file or a damaged one.
    """
    if not path.is_file():
        raise NotFound("LABELS_NOT_FOUND", f"There is no file of labels {path}.", path=path)
    import sleap_io

    try:
        return sleap_io.load_slp(str(path), open_videos=False)
    except Exception as error:  # sleap-io and h5py raise anything on a bad file
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def _unreadable(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(
        "LABELS_UNREADABLE",
        f"{path} cannot be read as a SLEAP file ({why}); check that it is one and complete.",
        path=path,
    )


def _kept_kind(labels: Any, prefer: Preference) -> type[Any] | None:
    from sleap_io import Instance, PredictedInstance

    kind: type[Any] = Instance if prefer == "user" else PredictedInstance
    found = any(type(each) is kind for frame in labels.labeled_frames for each in frame.instances)
    return kind if found else None


def video_name(video: Any) -> str:
    """Returns the file name of a `sleap_io.Video`, without folders."""
    source = video.source_video or video
    filename = source.filename
    if isinstance(filename, list):  # a sequence of images; its folder is its name
        return video_file_name(str(filename[0]).replace("\\", "/").rpartition("/")[0])
    return video_file_name(str(filename))


def _symmetries(skeleton: Any) -> tuple[tuple[int, int], ...]:
    pairs = {tuple(sorted((int(a), int(b)))) for a, b in skeleton.symmetry_inds}
    return tuple(sorted((a, b) for a, b in pairs))


def _stored_at(video: Any) -> str | tuple[str, ...]:
    if isinstance(video.filename, list):
        return tuple(map(str, video.filename))
    dataset = (video.backend_metadata or {}).get("dataset")
    return f"{video.filename}#{dataset}" if dataset else str(video.filename)


def _frame_poses(
    frame_index: int, instances: Sequence[Any], node_count: int, tracks: dict[int, int]
) -> FramePoses:
    points_IN2 = np.full((len(instances), node_count, 2), np.nan, np.float32)
    for row, instance in enumerate(instances):
        points_IN2[row] = instance.numpy()
    return FramePoses(
        frame_index=int(frame_index),
        points_px_IN2=points_IN2,
        point_scores_IN=_point_scores(instances, points_IN2),
        instance_scores_I=_column(instances, "score", 1.0),
        track_indices_I=np.array(
            [tracks.get(id(each.track), NO_TRACK) for each in instances], np.int32
        ),
        tracking_scores_I=_column(instances, "tracking_score", 0.0),
    )


def _point_scores(instances: Sequence[Any], points_IN2: NDArray[np.float32]) -> NDArray[np.float32]:
    scores_IN = np.ones(points_IN2.shape[:2], np.float32)
    for row, instance in enumerate(instances):
        if "score" in (instance.points.dtype.names or ()):
            scores_IN[row] = instance.points["score"]
    scores_IN[~np.isfinite(points_IN2).all(axis=2)] = 0.0
    return scores_IN


def _column(instances: Sequence[Any], attribute: str, default: float) -> NDArray[np.float32]:
    values = [getattr(each, attribute, None) for each in instances]
    return np.array([default if value is None else value for value in values], np.float32)

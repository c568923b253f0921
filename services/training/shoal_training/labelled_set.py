"""Labelled frames, their animals and their pixels.

Axis legend: I instances, N nodes, 2 = (x, y), H height, W width, C channels.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import DataLoss, InvalidArgument, OutOfRange
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.skeleton import Skeleton
from shoal_media.labels_file import LabelsFile, read_labels
from shoal_training.labelled_video import LabelledVideo, find_pixels

_LOG = logging.getLogger(__name__)

NO_CLASS = -1
"""Class of an animal whose identity is not known."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """The animals of one frame."""

    video_index: int
    """Into `LabelledSet.videos`."""
    frame_index: int
    """In its video."""
    points_px_IN2: NDArray[np.float32]
    """Pixels of the frame; NaN where a node is not visible."""
    class_indices_I: NDArray[np.int64]
    """Into `LabelledSet.classes`; NO_CLASS where the animal has no track."""
    file_index: int = 0
    """Of the files of labels, the one that it is from."""


class LabelledSet:
    """Frames of one or several files of labels that share a skeleton. `with` closes it.

    May be used by several threads at once.
    """

    def __init__(
        self,
        *,
        skeleton: Skeleton,
        classes: tuple[str, ...],
        videos: Sequence[LabelledVideo],
        frames: Sequence[LabelledFrame],
        channels: Literal[1, 3] | None = None,
    ) -> None:
        self.skeleton = skeleton
        self.classes = classes
        self.videos = tuple(videos)
        self.frames = tuple(frames)
        used = {frame.video_index for frame in frames}
        self.channels: Literal[1, 3] = channels or (
            1 if all(self.videos[index].is_gray for index in used) else 3
        )
        """Of the images: as asked for, else 1 where all videos are gray."""

    def image(self, frame: LabelledFrame) -> NDArray[np.uint8]:
        """Returns the pixels of a frame as a new array [H, W, C].

        Raises:
            DataLoss: FRAME_UNREADABLE when its bytes are damaged.
            OutOfRange: FRAME_OUT_OF_RANGE, FRAME_NOT_EMBEDDED or FRAME_NOT_STORED.
        """
        return self.videos[frame.video_index].read(frame.frame_index, self.channels)

    def readable_image(self, frame: LabelledFrame) -> NDArray[np.uint8] | None:
        """Returns the pixels of a frame; None, after a warning, when they are damaged."""
        try:
            return self.image(frame)
        except (DataLoss, OutOfRange) as error:
            _LOG.warning("A labelled frame is left out: %s", error.message)
            return None

    def frame_size_px(self, frame: LabelledFrame) -> tuple[int, int]:
        """Returns height and width of a frame's video, without reading the frame."""
        return self.videos[frame.video_index].size_hw

    def animal_sizes_px(self) -> NDArray[np.float32]:
        """Returns the longer side of each labelled animal's bounding box, in frame pixels."""
        sides = []
        for frame in self.frames:
            low_I2 = np.nanmin(frame.points_px_IN2, axis=1)
            high_I2 = np.nanmax(frame.points_px_IN2, axis=1)
            sides.append((high_I2 - low_I2).max(axis=1))
        return np.concatenate(sides)

    def identity_of(self, frame: LabelledFrame) -> tuple[object, int]:
        """Returns what two frames share that show the same pixels, whatever file says so."""
        return self.videos[frame.video_index].identity, frame.frame_index

    def name_of(self, frame: LabelledFrame) -> str:
        """Returns what to call a frame in a message."""
        return f"frame {frame.frame_index} of {self.videos[frame.video_index].name}"

    def with_frames(self, frames: Sequence[LabelledFrame]) -> "LabelledSet":
        """Returns a set of other frames of the same videos, which it shares."""
        return LabelledSet(
            skeleton=self.skeleton,
            classes=self.classes,
            videos=self.videos,
            frames=frames,
            channels=self.channels,
        )

    def with_classes(self, kept: Sequence[int]) -> "LabelledSet":
        """Returns a set of some of the classes; other animals have none."""
        number = {index: position for position, index in enumerate(kept)}
        return LabelledSet(
            skeleton=self.skeleton,
            classes=tuple(self.classes[index] for index in kept),
            videos=self.videos,
            frames=[
                replace(
                    frame,
                    class_indices_I=np.array(
                        [number.get(int(each), NO_CLASS) for each in frame.class_indices_I],
                        np.int64,
                    ),
                )
                for frame in self.frames
            ],
            channels=self.channels,
        )

    def close(self) -> None:
        """Closes the videos; reading opens them again."""
        for video in self.videos:
            video.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_labelled_set(
    paths: Sequence[Path],
    *,
    channels: Literal[1, 3] | None = None,
    classes: Sequence[str] = (),
) -> LabelledSet:
    """Returns the frames of files of labels that have an animal, in the order of the files.

    Of a file, the instances made by people count; those of a model only where there are no
    others, which is warned of. Coordinates that are not finite are nodes that are not visible.

    Args:
        paths: .slp or .pkg.slp files; the first one's skeleton is the set's.
        channels: Of the images; None: 1 where all videos are gray, else 3.
        classes: Names of tracks that are identities; empty: all tracks of the files, in order.

    Raises:
        NotFound: LABELS_NOT_FOUND, or LABELS_IMAGES_MISSING when a video is not there.
        InvalidArgument: LABELS_UNREADABLE, LABELS_EMPTY, SKELETONS_DIFFER or CLASS_UNKNOWN.
    """
    files = [read_labels(path, prefer="user") for path in paths]
    if not files:
        raise InvalidArgument(
            "LABELS_EMPTY", "No labels are given; name a .slp file in data.labels."
        )
    skeleton = _common_skeleton(files)
    tracks = tuple(dict.fromkeys(name for file in files for name in file.track_names))
    chosen = tuple(classes) or tracks
    unknown = [name for name in chosen if name not in tracks]
    if unknown:
        raise InvalidArgument(
            "CLASS_UNKNOWN",
            f"No track of {files[0].path} is named {unknown[0]!r}; its tracks are "
            f"{', '.join(tracks) or 'none'}.",
            name=unknown[0],
            path=files[0].path,
        )
    videos: list[LabelledVideo] = []
    frames: list[LabelledFrame] = []
    for file_index, file in enumerate(files):
        _warn_of_predictions(file)
        read_videos, read_frames = _file_frames(file, skeleton, chosen, len(videos))
        videos += read_videos
        frames += [replace(frame, file_index=file_index) for frame in read_frames]
    if not frames:
        raise InvalidArgument(
            "LABELS_EMPTY",
            f"{', '.join(str(file.path) for file in files)} has no labelled frame with a visible "
            "node; label some frames first.",
            path=files[0].path,
        )
    return LabelledSet(
        skeleton=skeleton, classes=chosen, videos=videos, frames=frames, channels=channels
    )


def _common_skeleton(files: Sequence[LabelsFile]) -> Skeleton:
    """Returns the first file's skeleton; nodes of the others may stand in another order."""
    first = files[0]
    for file in files[1:]:
        if set(file.skeleton.nodes) != set(first.skeleton.nodes):
            differing = sorted(set(file.skeleton.nodes) ^ set(first.skeleton.nodes))
            raise InvalidArgument(
                "SKELETONS_DIFFER",
                f"{file.path} and {first.path} have other nodes ({', '.join(differing)}); give "
                "labels of one skeleton.",
                path=file.path,
            )
    return first.skeleton


def _warn_of_predictions(file: LabelsFile) -> None:
    if file.kept == "predicted":
        _LOG.warning(
            "%s has no instances made by people: a model's are trained on; proofread them first.",
            file.path,
        )


def _file_frames(
    file: LabelsFile, skeleton: Skeleton, classes: tuple[str, ...], first_video: int
) -> tuple[list[LabelledVideo], list[LabelledFrame]]:
    """Returns the videos that have labelled frames, and these; others need not be there."""
    order = [file.skeleton.nodes.index(node) for node in skeleton.nodes]
    class_of = {NO_TRACK: NO_CLASS} | {
        track: classes.index(name) if name in classes else NO_CLASS
        for track, name in enumerate(file.track_names)
    }
    videos: list[LabelledVideo] = []
    frames: list[LabelledFrame] = []
    lost_count = 0
    for video in file.videos:
        index = first_video + len(videos)
        found = [_frame(each, index, order, class_of) for each in video.frames]
        found = [frame for frame in found if len(frame.points_px_IN2)]
        lost_count += sum(bool(np.isinf(each.points_px_IN2).any()) for each in video.frames)
        if found:
            videos.append(find_pixels(video.stored_at, video.name, file.path))
            frames += found
    if lost_count:
        _LOG.warning(
            "%s has infinite coordinates in %d frames: these nodes count as not visible.",
            file.path,
            lost_count,
        )
    return videos, frames


def _frame(
    poses: FramePoses, video_index: int, order: Sequence[int], class_of: dict[int, int]
) -> LabelledFrame:
    points_IN2 = poses.points_px_IN2[:, order].astype(np.float32)
    # One coordinate that is no number makes the node one that nobody knows the place of.
    points_IN2[~np.isfinite(points_IN2).all(axis=2)] = np.nan
    seen_I = ~np.isnan(points_IN2).all(axis=(1, 2))
    classes_I = np.array([class_of[int(track)] for track in poses.track_indices_I], np.int64)
    return LabelledFrame(
        video_index=video_index,
        frame_index=poses.frame_index,
        points_px_IN2=points_IN2[seen_I],
        class_indices_I=classes_I[seen_I],
    )

"""The pixels of a labelled video, wherever this machine has them."""

import threading
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import NotFound, OutOfRange
from shoal_core.image_names import frame_names
from shoal_core.video_path import split_dataset
from shoal_media.readers import VideoReader, open_video


class LabelledVideo:
    """Frames by index; may be used by several threads, which take turns.

    Args:
        path: What `open_video` takes: a file, `file#dataset`, or a folder of images.
        name: What to call it in a message.
        images: Names of the images in `path` that are the frames, in order; empty: all of them.

    Raises:
        InvalidArgument, NotFound, PermissionDenied: as `open_video`.
    """

    def __init__(self, path: Path, name: str, images: Sequence[str] = ()) -> None:
        self.path = path
        self.name = name
        self._lock = threading.Lock()
        self._readers: dict[int, VideoReader] = {}
        self._rows = _image_rows(path, images) if images else None
        with open_video(path) as reader:
            self.is_gray = reader.info.is_gray
            self.size_hw = (reader.info.height_px, reader.info.width_px)
            self.identity = (reader.info.content_hash, split_dataset(str(path))[1])

    def read(self, frame_index: int, channels: Literal[1, 3]) -> NDArray[np.uint8]:
        """Returns a frame as a new array [H, W, channels].

        Raises:
            DataLoss, OutOfRange: as `VideoReader.read_into`.
        """
        with self._lock:
            if channels not in self._readers:
                self._readers[channels] = open_video(self.path, channels=channels)
            return self._readers[channels].read(self._row(frame_index))

    def _row(self, frame_index: int) -> int:
        if self._rows is None:
            return frame_index
        if not 0 <= frame_index < len(self._rows):
            raise OutOfRange(
                "FRAME_OUT_OF_RANGE",
                f"Frame {frame_index} is outside {self.name}, whose labels name "
                f"{len(self._rows)} images.",
                frame_index=frame_index,
                path=self.path,
            )
        return self._rows[frame_index]

    def close(self) -> None:
        """Frees the decoders; reading opens them again."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers = {}


def find_pixels(stored_at: str | tuple[str, ...], name: str, labels: Path) -> LabelledVideo:
    """Returns the video of labels.

    It is looked for where the labels say, from there relative to the labels' folder, and by
    its last parts beside the labels: these are often copied from machine to machine together.

    Args:
        stored_at: As `VideoPoses.stored_at`.
        name: File name of the video, for messages.
        labels: The file of labels.

    Raises:
        NotFound: LABELS_IMAGES_MISSING.
        InvalidArgument: VIDEO_EMPTY, VIDEO_UNREADABLE.
    """
    if isinstance(stored_at, str):
        file, dataset = split_dataset(stored_at.replace("\\", "/"))
        found = _existing(file, labels, name)
        return LabelledVideo(Path(f"{found}#{dataset}") if dataset else found, name)
    images = [PureWindowsPath(path) for path in stored_at]  # knows both separators
    found = _existing(images[0].parent.as_posix(), labels, name)
    return LabelledVideo(found, name, [image.name for image in images])


def _existing(stored: str, labels: Path, name: str) -> Path:
    """Returns the first place at which the file is: as stored, or its last parts beside."""
    folder, parts = labels.parent, [part for part in stored.split("/") if part not in ("", ".")]
    candidates = [Path(stored), folder / stored]
    candidates += [folder.joinpath(*parts[start:]) for start in range(len(parts))]
    for path in candidates:
        if path.exists():
            return path
    raise NotFound(
        "LABELS_IMAGES_MISSING",
        f"{labels} needs the video {stored}, which is neither there nor beside the labels; copy "
        f"{name} into {folder}, or save the labels with embedded images (.pkg.slp).",
        path=labels,
        video=stored,
    )


def _image_rows(folder: Path, images: Sequence[str]) -> list[int]:
    """Returns which image of the folder, as `open_video` counts them, each frame is."""
    names = frame_names(path.name for path in folder.iterdir())
    rows = {name: row for row, name in enumerate(names)}
    lost = [image for image in images if image not in rows]
    if lost:
        raise NotFound(
            "LABELS_IMAGES_MISSING",
            f"{folder} lacks {lost[0]}, which is labelled; put it back or remove its labels.",
            path=folder,
            video=lost[0],
        )
    return [rows[image] for image in images]

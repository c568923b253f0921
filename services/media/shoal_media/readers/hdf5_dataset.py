"""Reads a dataset of an HDF5 file as a video: its first axis counts frames.

Axis legend: F frames, H height, W width, C channels (1 = gray, 3 = RGB), K embedded frames.
"""

from pathlib import Path
from typing import Any

import numpy as np

from shoal_core.errors import InvalidArgument, NotFound
from shoal_core.video_path import split_dataset
from shoal_media.content_hash import hash_dataset
from shoal_media.frames import Pixels
from shoal_media.readers.frame_store import FrameStore, StoredFrames, all_indices, unreadable_frame
from shoal_media.readers.slp_package import EmbeddedFrames, is_embedded

_CHUNK_CACHE_BYTES = 64 << 20
_NAMED_AT_MOST = 5


def open_hdf5(path: Path) -> FrameStore:
    """Returns the frames of `file.h5#dataset/path`, or of the only video in `file.h5`.

    Raises:
        NotFound: DATASET_NOT_FOUND.
        InvalidArgument: VIDEO_UNREADABLE, or DATASET_AMBIGUOUS when the file holds several.
    """
    import h5py

    file_name, dataset_name = split_dataset(str(path))
    try:
        # A chunk holds many frames: kept, it is unpacked once and not once a frame.
        file = h5py.File(file_name, "r", rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        raise InvalidArgument(
            "VIDEO_UNREADABLE",
            f"{file_name} is cut off or no HDF5 file, or is being written; copy it again.",
            path=file_name,
        ) from error
    try:
        dataset = _chosen(file, path, dataset_name)
        content_hash = hash_dataset(Path(file_name), dataset.name)
        if is_embedded(dataset):
            return EmbeddedFrames(path, dataset, content_hash)
        return Hdf5Frames(path, dataset, content_hash)
    except BaseException:
        file.close()
        raise


class Hdf5Frames(FrameStore):
    """A dataset [F, H, W], [F, H, W, C] or [F, C, H, W] of uint8 or uint16, RGB order."""

    def __init__(self, path: Path, dataset: Any, content_hash: str) -> None:
        self._dataset = dataset
        self._is_channels_first = dataset.ndim == 4 and dataset.shape[3] not in (1, 3)
        count = dataset.shape[0]
        self.frames = StoredFrames(path, count, all_indices(count), content_hash)

    def pixels(self, frame_index: int) -> Pixels:
        """Returns one row of the dataset."""
        try:
            row = self._dataset[frame_index]
        except (OSError, RuntimeError) as error:
            raise unreadable_frame(
                frame_index,
                self.name_of(frame_index),
                "copy the file again, or store the dataset with gzip",
            ) from error
        row = row.astype(row.dtype.newbyteorder("="), copy=False)
        if row.ndim == 2:
            return np.asarray(row[..., np.newaxis])
        return np.ascontiguousarray(np.moveaxis(row, 0, -1) if self._is_channels_first else row)

    def name_of(self, frame_index: int) -> str:
        """Returns the row and the dataset."""
        return f"row {frame_index} of {self._dataset.name} in {self.frames.path}"

    def close(self) -> None:
        """Closes the file."""
        self._dataset.file.close()


def _fits(dataset: Any) -> bool:
    if dataset.dtype not in (np.uint8, np.uint16) or 0 in dataset.shape:
        return False
    if dataset.ndim == 3:
        # [H, W, RGB] is one picture and not a video of three columns.
        return bool(dataset.shape[2] > 4)
    return bool(dataset.ndim == 4 and {dataset.shape[1], dataset.shape[3]} & {1, 3})


def _chosen(file: Any, path: Path, dataset_name: str | None) -> Any:
    import h5py

    if dataset_name is not None:
        named = file.get(dataset_name)
        if isinstance(named, h5py.Group) and "video" in named:
            named = named["video"]
        if named is None:
            raise NotFound(
                "DATASET_NOT_FOUND",
                f"{file.filename} has no dataset {dataset_name}; {_what_there_is(file)}.",
                path=path,
            )
        if not isinstance(named, h5py.Dataset) or not (_fits(named) or is_embedded(named)):
            raise _no_video(path, f"{dataset_name} is none")
        return named
    found = _videos(file)
    if len(found) > 1:
        raise InvalidArgument(
            "DATASET_AMBIGUOUS",
            f"{path} holds {len(found)} videos; name one, for example "
            f"{path}#{found[0].name.lstrip('/')} ({_what_there_is(file)}).",
            path=path,
        )
    if not found:
        raise _no_video(path, "it has none")
    return found[0]


def _videos(file: Any) -> list[Any]:
    import h5py

    found: list[Any] = []

    def look(_name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and (is_embedded(node) or _fits(node)):
            found.append(node)

    file.visititems(look)
    return found


def _what_there_is(file: Any) -> str:
    names = [dataset.name.lstrip("/") for dataset in _videos(file)]
    more = ", ..." if len(names) > _NAMED_AT_MOST else ""
    return f"it holds {', '.join(names[:_NAMED_AT_MOST]) or 'no video'}{more}"


def _no_video(path: Path, what: str) -> InvalidArgument:
    cure = (
        "give the video that it was made from, or a .pkg.slp"
        if split_dataset(str(path))[0].endswith(".slp")
        else "a video is uint8 or uint16 of shape [F, H, W], [F, H, W, 1 or 3] or [F, 1 or 3, H, W]"
    )
    return InvalidArgument(
        "VIDEO_UNREADABLE", f"{path} names no dataset of frames: {what}; {cure}.", path=path
    )

"""Which frames an imgstore holds: `metadata.yaml` and the index of every chunk.

Axis legend: F frames in order of their numbers.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_core.video_path import IMGSTORE_KEY, IMGSTORE_METADATA

_VIDEO_CLASSES = frozenset({"VideoImgStore", "VideoImgStoreFFMPEG"})
_IMAGE_CLASS = "DirectoryImgStore"
_IMAGE_FORMATS = frozenset({"png", "jpg", "tif", "bmp", "ppm", "pgm", "npy"})
_OLD_EXTENSIONS = {"mjpeg": ".avi"}


@dataclass(frozen=True)
class StoreFormat:
    """How the chunks of a store are made."""

    is_video: bool
    """Chunks are videos; else folders of images."""
    suffix: str
    """Of a chunk's video or of an image, with the dot."""
    is_color: bool
    encoding: str
    """How single-channel pixels hold colour (cv_bayerbg and so on); empty for none."""

    @classmethod
    def read(cls, folder: Path) -> "StoreFormat":
        """Returns the format of the store in a folder.

        Raises:
            InvalidArgument: VIDEO_UNREADABLE.
        """
        import yaml

        try:
            with (folder / IMGSTORE_METADATA).open("rb") as file:
                store = yaml.safe_load(file)[IMGSTORE_KEY]
            kind, written_format = store["class"], store["format"]
            is_color = len(store["imgshape"]) == 3 and store["imgshape"][2] == 3
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise store_unreadable(folder, f"has a damaged {IMGSTORE_METADATA}") from error
        is_video = kind in _VIDEO_CLASSES
        if not is_video and (kind != _IMAGE_CLASS or written_format not in _IMAGE_FORMATS):
            raise store_unreadable(folder, f"is a {kind} of {written_format}, which is not known")
        suffix = store.get("extension") or _OLD_EXTENSIONS.get(written_format, ".mp4")
        return cls(
            is_video=is_video,
            suffix=suffix if is_video else f".{written_format}",
            is_color=is_color,
            encoding=store.get("encoding") or "",
        )


@dataclass(frozen=True, eq=False)
class StoreIndex:
    """Where each frame lies, by frame number."""

    numbers_F: NDArray[np.int64]
    """Increasing."""
    times_s_F: NDArray[np.float64]
    chunks_F: NDArray[np.int64]
    """Number of the chunk that holds the frame."""
    places_F: NDArray[np.int64]
    """Place in the chunk, from 0."""
    has_lost_chunks: bool
    """Whether there are chunks whose index was not written, or not to its end."""

    @property
    def frame_count(self) -> int:
        """Number of frames F."""
        return len(self.numbers_F)

    @property
    def fps(self) -> float | None:
        """Frames per second by the middle of the steps between consecutive frames."""
        steps_s = np.diff(self.times_s_F)[np.diff(self.numbers_F) == 1]
        step_s = float(np.median(steps_s)) if len(steps_s) else 0.0
        return round(1 / step_s, 3) if step_s > 0 else None

    def without(self, chunk: int, first_place: int) -> "StoreIndex":
        """Returns the index without the frames of a chunk from a place on."""
        is_kept_F = (self.chunks_F != chunk) | (self.places_F < first_place)
        return replace(
            self,
            numbers_F=self.numbers_F[is_kept_F],
            times_s_F=self.times_s_F[is_kept_F],
            chunks_F=self.chunks_F[is_kept_F],
            places_F=self.places_F[is_kept_F],
        )

    @classmethod
    def read(cls, folder: Path, store: StoreFormat) -> "StoreIndex":
        """Returns the index of all chunks.

        Raises:
            InvalidArgument: VIDEO_UNREADABLE when a frame number stands for several frames,
                VIDEO_EMPTY when no chunk has a frame.
        """
        parts = []
        has_lost_chunks = False
        chunks = _chunks(folder, store)
        for chunk in chunks:
            columns = _chunk_columns(folder, store, chunk, is_last=chunk == chunks[-1])
            if columns is None:
                has_lost_chunks = True
                continue
            numbers, times_s = columns
            parts.append((numbers, times_s, np.full(len(numbers), chunk), np.arange(len(numbers))))
        # Frames before the one that a store was synchronised to have negative numbers.
        if not any((part[0] >= 0).any() for part in parts):
            raise InvalidArgument(
                "VIDEO_EMPTY",
                f"{folder} holds no frame with an index and a number of 0 or more; record it "
                "again.",
                path=folder,
            )
        numbers_F, times_s_F, chunks_F, places_F = map(np.concatenate, zip(*parts, strict=True))
        order_F = np.argsort(numbers_F, kind="stable")
        order_F = order_F[numbers_F[order_F] >= 0]
        if (np.diff(numbers_F[order_F]) == 0).any():
            raise store_unreadable(folder, "uses frame numbers more than once")
        return cls(
            numbers_F=numbers_F[order_F],
            times_s_F=times_s_F[order_F],
            chunks_F=chunks_F[order_F],
            places_F=places_F[order_F],
            has_lost_chunks=has_lost_chunks,
        )


def _chunks(folder: Path, store: StoreFormat) -> list[int]:
    """Returns the numbers of the chunks in the folder, in order."""
    suffix = store.suffix if store.is_video else ""
    names = (entry.name for entry in folder.iterdir() if entry.is_dir() != store.is_video)
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def _chunk_columns(
    folder: Path, store: StoreFormat, chunk: int, *, is_last: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Returns frame numbers and times of a chunk; None if its index was not written.

    That of the last chunk may be there in part: a crash while it was written.
    """
    stem = folder / f"{chunk:06d}" if store.is_video else folder / f"{chunk:06d}" / "index"
    try:
        columns = _columns(stem)
        if columns is None:
            return None
        numbers = np.asarray(columns["frame_number"], np.int64)
        times_s = np.asarray(columns["frame_time"], np.float64)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        if is_last:
            return None
        raise store_unreadable(folder, f"has a damaged index of chunk {chunk}") from error
    if numbers.ndim != 1 or numbers.shape != times_s.shape:
        raise store_unreadable(folder, f"has a damaged index of chunk {chunk}")
    return numbers, times_s


def _columns(stem: Path) -> dict[str, Any] | None:
    names = ("frame_number", "frame_time")
    npz = stem.with_name(f"{stem.name}.npz")
    if npz.is_file():
        with np.load(npz, allow_pickle=False) as columns:
            return {name: columns[name] for name in names}
    text = stem.with_name(f"{stem.name}.yaml")
    if not text.is_file():
        return None
    import yaml

    try:
        stored = yaml.safe_load(text.read_bytes())
    except yaml.YAMLError as error:
        raise ValueError(f"{text} is no YAML") from error
    return {name: stored[name] for name in names}


def store_unreadable(folder: Path, what: str) -> InvalidArgument:
    """Returns the error for an imgstore that cannot be read."""
    return InvalidArgument(
        "VIDEO_UNREADABLE", f"The imgstore {folder} {what}; copy or record it again.", path=folder
    )

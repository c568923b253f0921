"""Segment files: immutable runs of frames in HDF5, one dataset a column.

Axis legend: F frames, M instances of all the frames together, N nodes, 2 = (x, y).
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import DataLoss
from shoal_labels.columns import COLUMN_TYPES, ColumnType, PoseColumns
from shoal_labels.disk_file import DiskFile, make_folder, partial_path, publish, sha256

FORMAT_VERSION = 1
_FORMAT_ATTRIBUTE = "shoal_segment_format"
_CHUNK_BYTES = 128 * 1024
_CHUNK_ROW_COUNT = 2048
_READ_FRAME_COUNT = 1000
_READ_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class SegmentFile:
    """A finished segment file."""

    path: Path
    checksum: str
    """SHA-256 of the file, in hexadecimal."""
    frame_count: int
    instance_count: int


class SegmentWriter:
    """Writes one segment file; memory does not grow with its length.

    Thread-safe, so that a cancelled caller may `abandon` what a thread is still writing.
    """

    def __init__(self, path: Path, node_count: int) -> None:
        """Prepares the file; nothing is on the disk before the first frames or the end.

        Args:
            path: Where it will lie; nothing may be there.
            node_count: N.
        """
        self._path = path
        self._partial = partial_path(path, "segment")
        self._node_count = node_count
        self._lock = threading.Lock()
        self._frame_count = 0
        self._instance_count = 0
        self._disk: DiskFile | None = None
        self._hdf5: Any = None
        self._is_abandoned = False

    def append(self, columns: PoseColumns) -> None:
        """Adds frames after those already there; `columns` have been checked.

        Raises:
            OSError: When the disk fails.
        """
        with self._lock:
            disk = self._open()
            for column, array in zip(COLUMN_TYPES, columns.arrays(), strict=True):
                dataset = self._hdf5[column.name]
                start = len(dataset)
                dataset.resize(start + len(array), axis=0)
                dataset[start:] = array
            self._frame_count += columns.frame_count
            self._instance_count += columns.instance_count
            disk.check()

    def finish(self) -> SegmentFile:
        """Closes the file and makes it durable.

        Raises:
            OSError: When the disk fails.
        """
        with self._lock:
            disk = self._open()
            self._close()
            disk.check()
            publish(self._partial, self._path)
            return SegmentFile(
                path=self._path,
                checksum=sha256(self._path),
                frame_count=self._frame_count,
                instance_count=self._instance_count,
            )

    def abandon(self) -> None:
        """Removes whatever was written, and refuses to write more."""
        with self._lock:
            self._is_abandoned = True
            self._close()
            self._partial.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)

    def _open(self) -> DiskFile:
        if self._is_abandoned:
            raise ValueError(f"{self._path} was abandoned")
        if self._disk is None:
            import h5py

            make_folder(self._path.parent)
            self._disk = DiskFile(self._partial, "w+b")
            self._hdf5 = h5py.File(self._disk, "w")
            self._hdf5.attrs[_FORMAT_ATTRIBUTE] = FORMAT_VERSION
            for column in COLUMN_TYPES:
                _create_column(self._hdf5, column, self._node_count)
        return self._disk

    def _close(self) -> None:
        if self._disk is not None:
            self._hdf5.close()
            self._disk.close()


class SegmentReader:
    """Reads the frames `start` ≤ index < `stop` of a segment file, some at a time.

    Of the whole segment only the frame index (12 bytes a frame) is held in memory.
    """

    def __init__(self, path: Path, checksum: str, start: int = 0, stop: int | None = None) -> None:
        """Opens and verifies the file.

        Raises:
            DataLoss: SEGMENT_DAMAGED when it is missing or not what was written.
        """
        import h5py

        self._path = path
        self._lock = threading.Lock()
        with self._typed_errors():
            if sha256(path) != checksum:
                raise _damaged(path, "does not match its checksum")
            self._hdf5 = h5py.File(path, "r")
            if self._hdf5.attrs[_FORMAT_ATTRIBUTE] > FORMAT_VERSION:
                raise _damaged(path, "was written by a newer Shoal")
            frames_F = self._hdf5["frame_indices"][:]
            self._counts_F: NDArray[np.int32] = self._hdf5["instance_counts"][:]
        last = len(frames_F) if stop is None else int(np.searchsorted(frames_F, stop))
        self._next = int(np.searchsorted(frames_F, start))
        self._stop = max(last, self._next)
        self._row = int(self._counts_F[: self._next].sum(dtype=np.int64))
        points = self._hdf5["points_px"]
        self._rows_at_once = max(1, _READ_BYTES // (12 * max(1, points.shape[1])))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def read(self) -> PoseColumns | None:
        """Returns the next frames, at most 1,000 and about 8 MiB; None after the last.

        Raises:
            DataLoss: SEGMENT_DAMAGED when they cannot be read.
        """
        with self._lock, self._typed_errors():
            if self._next >= self._stop:
                return None
            counts_F = self._counts_F[self._next : min(self._next + _READ_FRAME_COUNT, self._stop)]
            rows_F = np.cumsum(counts_F, dtype=np.int64)
            count = max(1, int(np.searchsorted(rows_F, self._rows_at_once, side="right")))
            frames = slice(self._next, self._next + count)
            rows = slice(self._row, self._row + int(rows_F[count - 1]))
            self._next, self._row = frames.stop, rows.stop
            return PoseColumns(
                *(
                    self._hdf5[column.name][rows if column.per_instance else frames]
                    for column in COLUMN_TYPES
                )
            )

    def track_indices(self) -> NDArray[np.int32]:
        """Returns the track indices that the file uses, ascending, without -1.

        Raises:
            DataLoss: SEGMENT_DAMAGED when they cannot be read.
        """
        with self._lock, self._typed_errors():
            tracks_M = np.unique(self._hdf5["track_indices"][:])
        return tracks_M[tracks_M >= 0]

    def close(self) -> None:
        """Releases the file."""
        with self._lock:
            self._hdf5.close()

    @contextlib.contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise _damaged(self._path, "is missing") from error
        except (OSError, KeyError) as error:
            raise _damaged(self._path, "cannot be read") from error


def _create_column(hdf5: Any, column: ColumnType, node_count: int) -> None:
    row_shape = column.row_shape(node_count)
    row_bytes = column.dtype.itemsize * int(np.prod(row_shape))
    hdf5.create_dataset(
        column.name,
        shape=(0, *row_shape),
        maxshape=(None, *row_shape),
        chunks=(max(1, min(_CHUNK_ROW_COUNT, _CHUNK_BYTES // row_bytes)), *row_shape),
        dtype=column.dtype,
    )


def _damaged(path: Path, complaint: str) -> DataLoss:
    return DataLoss(
        "SEGMENT_DAMAGED",
        f"Segment file {path} {complaint}; delete its label set and run the job or import again.",
        path=path,
    )

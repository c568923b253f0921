"""One label set → SLEAP's analysis file. Runs in the child process (see `slp_child`).

The file holds dense matrices over frames 0 to the last one processed, as SLEAP writes them for
MATLAB: of the datasets below only `track_occupancy` begins with the frames. They are written a
window of frames at a time, and only where a track is: what is absent takes no room in the file
and is read as NaN.

Axis legend: F frames, T tracks, N nodes, W frames of a window, M instances, 2 = (x, y).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import FailedPrecondition
from shoal_labels.columns import PoseColumns
from shoal_labels.disk_file import DiskFile, publish
from shoal_labels.label_sets import Video
from shoal_labels.segments import SegmentReader
from shoal_labels.slp_export import Source, file_provenance, track_names, used_tracks
from shoal_labels.slp_videos import entry, local_path

_WINDOW_BYTES = 32 * 1024 * 1024
_WINDOW_FRAME_COUNTS = (64, 1024)


def export_analysis(
    folder: Path, source: Source, partial: Path, output: Path, more: Mapping[str, Any]
) -> tuple[int, int]:
    """Writes an analysis file at `partial` and renames it to `output`.

    As in SLEAP, a track has what a person made rather than a prediction, the last of several
    instances in a frame, and instances without a track are left out where others have one.

    Args:
        folder: The label store's, which segment paths are relative to.
        source: The label set.
        partial: A path beside the output.
        output: The file to write or to replace.
        more: Added to the file's provenance.

    Returns:
        Frames with an instance, and instances, in the file.

    Raises:
        FailedPrecondition: TRACKS_MISSING when no instance has a track but frames have several.
        DataLoss: SEGMENT_DAMAGED.
        OSError: When the disk fails.
    """
    import h5py

    used = sorted(used_tracks(folder, source))
    names = track_names(source, used)
    with DiskFile(partial, "w+b") as disk, h5py.File(disk, "w") as hdf5:
        writer = _MatrixWriter(hdf5, used, len(source.label_set.skeleton.nodes))
        for columns in _parts(folder, source):
            writer.append(columns)
            disk.check()
        _write_names(hdf5, source, [names[index] for index in used], more)
        hdf5.flush()
        disk.check()
    disk.check()
    publish(partial, output)
    return writer.frame_count, writer.instance_count


@dataclass(frozen=True)
class _Rows:
    """The instances of some frames that go into the matrices, one for a track and frame."""

    frames_M: NDArray[np.int64]
    tracks_M: NDArray[np.intp]
    """Rows of the matrices."""
    columns: PoseColumns
    chosen_M: NDArray[np.intp]
    """Rows of the columns."""


class _MatrixWriter:
    """Writes matrices window by window; frames come in increasing order."""

    def __init__(self, hdf5: Any, tracks: Sequence[int], node_count: int) -> None:
        self.frame_count = 0
        self.instance_count = 0
        self._tracks = np.array(tracks, np.int64)
        self._row_count = max(1, len(tracks))  # without tracks everything is one row
        row_bytes = self._row_count * node_count * 3 * 8
        least, most = _WINDOW_FRAME_COUNTS
        self._width = max(least, min(most, _WINDOW_BYTES // row_bytes))
        self._stop = 0
        self._datasets = {
            name: hdf5.create_dataset(
                name,
                shape=(*shape, 0),
                maxshape=(*shape, None),
                chunks=(1, *shape[1:], self._width),
                dtype="f8",
                fillvalue=np.nan,
                compression="gzip",
                shuffle=True,
            )
            for name, shape in {
                "tracks": (self._row_count, 2, node_count),
                "point_scores": (self._row_count, node_count),
                "instance_scores": (self._row_count,),
                "tracking_scores": (self._row_count,),
            }.items()
        }
        self._occupancy = hdf5.create_dataset(
            "track_occupancy",
            shape=(0, self._row_count),
            maxshape=(None, self._row_count),
            chunks=(self._width, self._row_count),
            dtype="u1",
            compression="gzip",
        )

    def append(self, columns: PoseColumns) -> None:
        """Writes some frames.

        Raises:
            FailedPrecondition: TRACKS_MISSING.
        """
        rows = self._rows(columns)
        self._resize(int(columns.frame_indices_F[-1]) + 1)
        self.frame_count += len(np.unique(rows.frames_M))
        self.instance_count += len(rows.frames_M)
        windows_M = rows.frames_M // self._width
        for window in np.unique(windows_M).tolist():
            mine = np.flatnonzero(windows_M == window)
            self._write(rows, mine, window * self._width)

    def _write(self, rows: _Rows, mine: NDArray[np.intp], start: int) -> None:
        """Adds instances to the window that begins at frame `start`."""
        stop = min(start + self._width, self._stop)
        columns = rows.columns
        occupancy_WT = self._occupancy[start:stop]
        occupancy_WT[rows.frames_M[mine] - start, rows.tracks_M[mine]] = 1
        self._occupancy[start:stop] = occupancy_WT
        for track in np.unique(rows.tracks_M[mine]).tolist():
            of_track = mine[rows.tracks_M[mine] == track]
            chosen = rows.chosen_M[of_track]
            is_user = columns.is_user_M[chosen].astype(bool)
            places = rows.frames_M[of_track] - start
            for name, values in {
                "tracks": columns.points_px_MN2[chosen].transpose(2, 1, 0),
                "point_scores": _predicted(columns.point_scores_MN[chosen].T, is_user),
                "instance_scores": _predicted(columns.instance_scores_M[chosen], is_user),
                "tracking_scores": _predicted(columns.tracking_scores_M[chosen], is_user),
            }.items():
                dataset = self._datasets[name]
                window = dataset[track, ..., start:stop]
                window[..., places] = values
                dataset[track, ..., start:stop] = window

    def _rows(self, columns: PoseColumns) -> _Rows:
        frames_M = np.repeat(columns.frame_indices_F, columns.instance_counts_F)
        if len(self._tracks):
            chosen_M = np.flatnonzero(columns.track_indices_M >= 0)
            tracks_M = np.searchsorted(self._tracks, columns.track_indices_M[chosen_M])
        else:
            chosen_M = np.arange(columns.instance_count)
            tracks_M = np.zeros(columns.instance_count, np.intp)
        # Of one track and frame the last stays: people's instances come after predictions.
        order = np.argsort(columns.is_user_M[chosen_M], kind="stable")[::-1]
        places = frames_M[chosen_M][order] * self._row_count + tracks_M[order]
        _, first = np.unique(places, return_index=True)
        if not len(self._tracks):
            _check_single(columns, frames_M)
        kept = order[first]
        return _Rows(frames_M[chosen_M][kept], tracks_M[kept], columns, chosen_M[kept])

    def _resize(self, stop: int) -> None:
        self._stop = stop
        for dataset in self._datasets.values():
            dataset.resize(stop, axis=dataset.ndim - 1)
        self._occupancy.resize(stop, axis=0)


def _check_single(columns: PoseColumns, frames_M: NDArray[np.int64]) -> None:
    """Refuses several instances of a frame that no track tells apart.

    Raises:
        FailedPrecondition: TRACKS_MISSING.
    """
    for kind in (0, 1):
        frames, counts = np.unique(frames_M[columns.is_user_M == kind], return_counts=True)
        if (counts > 1).any():
            frame_index = int(frames[counts > 1][0])
            raise FailedPrecondition(
                "TRACKS_MISSING",
                f"Frame {frame_index} has {int(counts[counts > 1][0])} instances and none has a "
                "track, which an analysis file needs; track the video with a tracker, or write "
                "a .slp.",
                frame_index=frame_index,
            )


def _predicted(values: NDArray[np.float32], is_user_M: NDArray[np.bool_]) -> NDArray[Any]:
    """Returns scores [..., M]; people's instances have none."""
    return np.where(is_user_M, np.nan, values)


def _parts(folder: Path, source: Source) -> Iterator[PoseColumns]:
    for segment in source.segments:
        with SegmentReader(folder / segment.path, segment.checksum) as reader:
            while (columns := reader.read()) is not None:
                yield columns


def _write_names(hdf5: Any, source: Source, tracks: Sequence[str], more: Mapping[str, Any]) -> None:
    skeleton = source.label_set.skeleton
    nodes = [node.encode() for node in skeleton.nodes]
    hdf5["track_names"] = np.array([name.encode() for name in tracks], "S")
    hdf5["node_names"] = np.array(nodes, "S")
    hdf5["edge_names"] = np.array([(nodes[a], nodes[b]) for a, b in skeleton.edges], "S").reshape(
        -1, 2
    )
    hdf5["edge_inds"] = np.array(skeleton.edges, np.int64).reshape(-1, 2)
    hdf5["labels_path"] = ""
    hdf5["video_path"] = _video_path(source.label_set.video)
    hdf5["video_ind"] = 0
    hdf5["provenance"] = json.dumps(file_provenance([source], more))


def _video_path(video: Video) -> str:
    """Returns the file of a video, as a .slp names it; the folder of many images."""
    filename, _ = entry(video)
    return filename if isinstance(filename, str) else local_path(video.uri)

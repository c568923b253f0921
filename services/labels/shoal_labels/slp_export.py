"""Label sets → one SLEAP file. Runs in the child process (see `slp_child`).

sleap-io writes everything but the frames; the frames are streamed into its empty tables.
Through its object model, 100,000 frames of two animals with 13 nodes take 15 s and 1.2 GB,
and both grow with the video; streamed they take 1.4 s and 145 MB, a million frames 152 MB.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_labels.columns import PoseColumns
from shoal_labels.disk_file import DiskFile, publish
from shoal_labels.label_sets import IMPORTED_FROM, LabelSet, Segment
from shoal_labels.segments import SegmentReader
from shoal_labels.slp_tables import TableWriter
from shoal_labels.slp_videos import entry


@dataclass(frozen=True)
class Source:
    """One label set of an export."""

    label_set: LabelSet
    segments: Sequence[Segment]
    """By frame."""


class TrackList:
    """The tracks of the file: tracks of the same name are one, as they are in SLEAP."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._index_of: dict[tuple[str, int], int] = {}

    def add(self, names: Mapping[int, str]) -> dict[int, int]:
        """Adds a label set's tracks; returns the file's index of each of its indices.

        A name that the label set has twice is two tracks.
        """
        seen: dict[str, int] = {}
        indices = {}
        for index, name in sorted(names.items()):
            occurrence = seen.get(name, 0)
            seen[name] = occurrence + 1
            if (name, occurrence) not in self._index_of:
                self._index_of[(name, occurrence)] = len(self.names)
                self.names.append(name)
            indices[index] = self._index_of[(name, occurrence)]
        return indices


def export(
    folder: Path,
    sources: Sequence[Source],
    partial: Path,
    output: Path,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[int, int]:
    """Writes a SLEAP file at `partial` and renames it to `output`.

    Args:
        folder: The label store's, which segment paths are relative to.
        sources: Label sets of different videos with equal skeletons.
        partial: A path beside the output.
        output: The file to write or to replace.
        more: Added to the file's provenance.

    Returns:
        Labeled frames and instances in the file.

    Raises:
        DataLoss: SEGMENT_DAMAGED.
        OSError: When the disk fails.
    """
    import h5py

    tracks = TrackList()
    track_maps = [
        tracks.add(track_names(source, used_tracks(folder, source))) for source in sources
    ]
    _write_head(partial, sources, tracks.names, more)
    instance_count = sum(segment.instance_count for s in sources for segment in s.segments)
    node_count = len(sources[0].label_set.skeleton.nodes)
    with DiskFile(partial, "r+b") as disk, h5py.File(disk, "r+") as hdf5:
        writer = TableWriter(hdf5, node_count=node_count, instance_count=instance_count)
        for video_id, (source, track_map) in enumerate(zip(sources, track_maps, strict=True)):
            for segment in source.segments:
                with SegmentReader(folder / segment.path, segment.checksum) as reader:
                    while (columns := reader.read()) is not None:
                        writer.append(_with_tracks(columns, track_map), video_id=video_id)
                        disk.check()
        counts = writer.frame_count, writer.instance_count
        hdf5.flush()
        disk.check()
    disk.check()
    publish(partial, output)
    return counts


def used_tracks(folder: Path, source: Source) -> set[int]:
    """Returns the track indices of a label set's instances.

    Raises:
        DataLoss: SEGMENT_DAMAGED.
    """
    used: set[int] = set()
    for segment in source.segments:
        with SegmentReader(folder / segment.path, segment.checksum) as reader:
            used.update(reader.track_indices().tolist())
    return used


def track_names(source: Source, used: Iterable[int]) -> dict[int, str]:
    """Returns the names of a label set's tracks, those that it names and those that it uses."""
    names = dict(enumerate(source.label_set.track_names))
    return names | {index: f"track_{index}" for index in used if index not in names}


def _with_tracks(columns: PoseColumns, track_map: Mapping[int, int]) -> PoseColumns:
    indices, inverse_M = np.unique(columns.track_indices_M, return_inverse=True)
    mapped: NDArray[np.int32] = np.array(
        [track_map.get(int(index), -1) for index in indices], np.int32
    )
    return replace(columns, track_indices_M=mapped[inverse_M])


def _write_head(
    path: Path, sources: Sequence[Source], names: Sequence[str], more: Mapping[str, Any]
) -> None:
    import sleap_io

    skeleton = sources[0].label_set.skeleton
    nodes = list(skeleton.nodes)
    videos = []
    for source in sources:
        filename, backend = entry(source.label_set.video)
        videos.append(
            sleap_io.Video(filename=filename, backend_metadata=backend, open_backend=False)
        )
    labels = sleap_io.Labels(
        videos=videos,
        skeletons=[
            sleap_io.Skeleton(
                nodes=nodes,
                edges=[(nodes[a], nodes[b]) for a, b in skeleton.edges],
                symmetries=[(nodes[a], nodes[b]) for a, b in skeleton.symmetries],
                name=skeleton.name,
            )
        ],
        tracks=[sleap_io.Track(name) for name in names],
        provenance=file_provenance(sources, more),
    )
    sleap_io.save_slp(labels, str(path), embed=False, verbose=False)


def file_provenance(sources: Sequence[Source], more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the provenance of a file with some label sets, `more` added."""
    label_sets = [source.label_set for source in sources]
    own: dict[str, Any] = {
        "shoal_version": metadata.version("shoal-labels"),
        "shoal_label_sets": [label_set.key.name for label_set in label_sets],
        **more,
    }
    unread = sum(map(_unread_frame_count, sources))
    if unread:
        own["shoal_unread_frame_count"] = unread
    if len(label_sets) == 1:
        return {**label_sets[0].provenance, **own}
    return own | {"shoal_provenance": [dict(label_set.provenance) for label_set in label_sets]}


def _unread_frame_count(source: Source) -> int:
    """Returns how many frames a job was asked for but could not read: damaged or missing ones."""
    provenance = source.label_set.provenance
    video = provenance.get("video")  # of a job; another program may mean anything by it
    asked = video.get("asked_frame_count") if isinstance(video, Mapping) else None
    # What was imported has lost its frames without instances, which were read all the same.
    if not isinstance(asked, int) or IMPORTED_FROM in provenance:
        return 0
    return max(0, asked - sum(segment.frame_count for segment in source.segments))

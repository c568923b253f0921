"""A SLEAP file → label sets and their segment files. Runs in the child process (`slp_child`).

sleap-io reads videos, skeletons, tracks and provenance; the frames are streamed from the tables
(through its object model 100,000 frames of two animals take 5 s and 440 MB).

Left out: suggestions, and which prediction a person's instance was made from.
"""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_labels.disk_file import sha256
from shoal_labels.label_sets import IMPORTED_FROM, LabelSet, LabelSetKey, Segment
from shoal_labels.segments import SegmentWriter
from shoal_labels.slp_tables import TABLES, FrameTable, TableReader, frames_of_video, video_ids
from shoal_labels.slp_videos import describe

SEGMENT_FRAME_COUNT = 16_384
"""Frames of one imported segment."""
_PART_FRAME_COUNT = 1024


def import_labels(
    path: Path, project: str, folder: Path, target: Path, video_folders: Sequence[str]
) -> list[tuple[LabelSet, list[Segment]]]:
    """Reads a SLEAP file and writes its frames as segment files.

    Args:
        path: A .slp or .pkg.slp file.
        project: Project of the new label sets.
        folder: The label store's, which segment paths are relative to.
        target: Folder for the segment files.
        video_folders: Where to look for videos that are not where the file says they are.

    Returns:
        One label set per video, in the file's order, named after the file's content.

    Raises:
        InvalidArgument: LABELS_UNREADABLE when it is no SLEAP file or a damaged one.
        OSError: When the disk fails.
    """
    import h5py
    from sleap_io.io import slp

    content = sha256(path)
    with h5py.File(path, "r") as hdf5:
        tables = {name: _table(hdf5, name) for name in TABLES}
        format_id = float(hdf5["metadata"].attrs["format_id"])
        videos = slp.read_videos(str(path), open_backend=False, _hdf5_file=hdf5)
        frames = tables["frames"][:]
        skeleton_id = _skeleton_id(tables["instances"])
        skeleton = _skeleton(slp.read_skeletons(str(path)), skeleton_id)
        reader = TableReader(
            tables,
            node_count=len(skeleton.nodes),
            skeleton_id=skeleton_id,
            format_id=format_id,
        )
        common: dict[str, Any] = {
            "skeleton": skeleton,
            "track_names": tuple(track.name for track in slp.read_tracks(str(path))),
            "provenance": _provenance(slp, path),
            "create_time_us": time.time_ns() // 1000,
        }
        imported = []
        for index, (video, video_id) in enumerate(_with_ids(videos, video_ids(frames))):
            key = LabelSetKey(project, f"import-{content[:16]}-{index}")
            described = describe(video, path, video_folders)
            segments = _write(reader, frames_of_video(frames, video_id), key, folder, target)
            imported.append((LabelSet(key=key, video=described, **common), segments))
    return imported


def _write(
    reader: TableReader, frames: FrameTable, key: LabelSetKey, folder: Path, target: Path
) -> list[Segment]:
    segments: list[Segment] = []
    if len(frames.frame_indices_F) == 0:
        return segments
    for index, part in enumerate(frames.parts(SEGMENT_FRAME_COUNT)):
        path = target / f"{key.label_set}-{index:06d}.h5"
        writer = SegmentWriter(path, reader.node_count)
        for some in part.parts(_PART_FRAME_COUNT):
            writer.append(reader.columns(some))
        file = writer.finish()
        segments.append(
            Segment(
                key=key,
                index=index,
                start=int(part.frame_indices_F[0]),
                stop=int(part.frame_indices_F[-1]) + 1,
                fencing_token=0,
                path=path.relative_to(folder).as_posix(),
                checksum=file.checksum,
                frame_count=file.frame_count,
                instance_count=file.instance_count,
            )
        )
    return segments


def _table(hdf5: Any, name: str) -> Any:
    """Returns a table that slices into structured rows."""
    from sleap_io.io.utils import read_hdf5_dataset

    dataset = hdf5[name]
    # Browsers write plain matrices with the names beside them.
    return dataset if dataset.dtype.names else read_hdf5_dataset("", name, _hdf5_file=hdf5)


def _with_ids(videos: Sequence[Any], used_ids: NDArray[np.int64]) -> list[tuple[Any, int]]:
    """Returns the videos with the ids that the frames call them by.

    Ids are indices, except that older packages call embedded videos by the number in the name
    of their dataset (`video15/video`).
    """
    used = np.unique(used_ids)
    if len(used) == len(videos) and used[-1] == len(videos) - 1:
        return [(video, index) for index, video in enumerate(videos)]
    numbers = [
        re.match(r"video(\d+)/", video.backend_metadata.get("dataset") or "") for video in videos
    ]
    return [
        (video, index if number is None else int(number[1]))
        for index, (video, number) in enumerate(zip(videos, numbers, strict=True))
    ]


def _skeleton_id(instances: Any) -> int:
    ids: set[int] = set()
    for start in range(0, len(instances), 1 << 20):
        rows = instances[start : start + (1 << 20)]
        ids.update(np.unique(rows[rows.dtype.names[3]]).tolist())
    if len(ids) > 1:
        raise InvalidArgument(
            "LABELS_UNREADABLE",
            f"its instances have {len(ids)} skeletons, Shoal reads files with one",
        )
    return int(ids.pop()) if ids else 0


def _skeleton(skeletons: Sequence[Any], index: int) -> Skeleton:
    if index >= len(skeletons):
        raise InvalidArgument("LABELS_UNREADABLE", "it has no skeleton")
    found = skeletons[index]
    return Skeleton(
        name=found.name or "",
        nodes=tuple(found.node_names),
        edges=tuple((int(a), int(b)) for a, b in found.edge_inds),
        symmetries=tuple((int(a), int(b)) for a, b in found.symmetry_inds),
    )


def _provenance(slp: Any, path: Path) -> Mapping[str, Any]:
    provenance = slp.read_provenance(str(path), slp.read_metadata(str(path)))
    return {**provenance, IMPORTED_FROM: str(path)}

"""Segment files give back exactly what was written, or say that they cannot."""

import errno
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal_core.errors import DataLoss
from shoal_labels.columns import PoseColumns
from shoal_labels.disk_file import DiskFile
from shoal_labels.segments import SegmentFile, SegmentReader, SegmentWriter

Make = Callable[..., PoseColumns]
Same = Callable[[PoseColumns, PoseColumns], None]
Join = Callable[[list[PoseColumns]], PoseColumns]


def write(path: Path, *parts: PoseColumns, node_count: int = 3) -> SegmentFile:
    writer = SegmentWriter(path, node_count)
    for part in parts:
        writer.append(part)
    return writer.finish()


def read(file: SegmentFile, start: int = 0, stop: int | None = None) -> list[PoseColumns]:
    with SegmentReader(file.path, file.checksum, start, stop) as reader:
        return list(iter(reader.read, None))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    frames=st.lists(st.integers(0, 10**9), unique=True, max_size=60).map(sorted),
    node_count=st.integers(1, 5),
    cut=st.integers(0, 60),
    seed=st.integers(0, 2**16),
)
def test_what_is_written_is_read_back_exactly(
    frames: list[int],
    node_count: int,
    cut: int,
    seed: int,
    tmp_path: Path,
    poses: Make,
    same_poses: Same,
    joined: Join,
) -> None:
    columns = poses(frames, seed=seed, node_count=node_count, user_share=0.3)
    early = columns.select(np.arange(len(frames)) < cut)
    late = columns.select(np.arange(len(frames)) >= cut)
    path = tmp_path / "segment.h5"
    path.unlink(missing_ok=True)
    file = write(path, early, late, node_count=node_count)
    assert (file.frame_count, file.instance_count) == (len(frames), columns.instance_count)
    nothing = poses([], node_count=node_count)
    same_poses(joined([nothing, *read(file)]), columns)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 1), (999, 1001), (1000, 2500), (2499, None), (2500, 9000)]
)
def test_a_range_gives_its_frames_and_no_others(
    start: int, stop: int | None, tmp_path: Path, poses: Make, same_poses: Same, joined: Join
) -> None:
    columns = poses(list(range(2500)))
    file = write(tmp_path / "segment.h5", columns)
    wanted = (columns.frame_indices_F >= start) & (columns.frame_indices_F < (stop or 10**9))
    parts = read(file, start, stop)
    assert all(part.frame_count <= 1000 for part in parts)
    same_poses(joined([poses([]), *parts]), columns.select(wanted))


def test_crowded_frames_come_in_smaller_parts(tmp_path: Path) -> None:
    frame_count, animal_count, node_count = 40, 200, 500
    total = frame_count * animal_count
    crowd = PoseColumns(
        np.arange(frame_count, dtype=np.int64),
        np.full(frame_count, animal_count, np.int32),
        np.zeros((total, node_count, 2), np.float32),
        np.zeros((total, node_count), np.float32),
        *(np.zeros(total, dtype) for dtype in (np.float32, np.int32, np.float32, np.uint8)),
    )
    parts = read(write(tmp_path / "segment.h5", crowd, node_count=node_count))
    assert sum(part.frame_count for part in parts) == frame_count
    assert max(part.points_px_MN2.nbytes for part in parts) <= 8 * 2**20


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.999])
def test_one_changed_byte_is_detected(where: float, tmp_path: Path, poses: Make) -> None:
    file = write(tmp_path / "segment.h5", poses(list(range(50))))
    content = bytearray(file.path.read_bytes())
    content[int(where * len(content))] ^= 1
    file.path.write_bytes(content)
    with pytest.raises(DataLoss, match="checksum") as caught:
        read(file)
    assert caught.value.reason == "SEGMENT_DAMAGED"


def test_a_lost_file_is_reported(tmp_path: Path, poses: Make) -> None:
    file = write(tmp_path / "segment.h5", poses([1]))
    file.path.unlink()
    with pytest.raises(DataLoss, match="is missing"):
        read(file)


def test_an_abandoned_segment_leaves_nothing(tmp_path: Path, poses: Make) -> None:
    writer = SegmentWriter(tmp_path / "segment.h5", 3)
    writer.append(poses([1, 2]))
    writer.abandon()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_raised_after_the_write_and_not_inside_it() -> None:
    with DiskFile("/dev/full", "r+b") as file:
        assert file.write(b"poses") == 5
        with pytest.raises(OSError, match="/dev/full") as caught:
            file.check()
    assert caught.value.errno == errno.ENOSPC


def test_memory_does_not_grow_with_the_segment(tmp_path: Path, poses: Make) -> None:
    part = poses(list(range(1000)), node_count=13)

    def peak_bytes(part_count: int) -> int:
        tracemalloc.start()
        writer = SegmentWriter(tmp_path / f"{part_count}.h5", 13)
        for _ in range(part_count):
            writer.append(part)
        file = writer.finish()
        with SegmentReader(file.path, file.checksum) as reader:
            while reader.read() is not None:
                pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(1)
    index_bytes = 3 * 12 * 1000 * 40
    assert peak_bytes(40) < peak_bytes(4) + index_bytes

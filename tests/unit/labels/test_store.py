"""A segment is there as a whole or not at all, whenever the process dies."""

import asyncio
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal_core.errors import Aborted, DataLoss, InvalidArgument, NotFound
from shoal_labels.columns import PoseColumns
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment, SegmentTarget
from shoal_labels.store import LabelStore

Make = Callable[..., PoseColumns]
Same = Callable[[PoseColumns, PoseColumns], None]
Join = Callable[[list[PoseColumns]], PoseColumns]

WRITER = Path(__file__).with_name("crashing_writer.py")
_spec = importlib.util.spec_from_file_location("crashing_writer", WRITER)
assert _spec is not None
assert _spec.loader is not None
crashing_writer: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(crashing_writer)


async def commit(store: LabelStore, target: SegmentTarget, *parts: PoseColumns) -> Segment:
    async with store.draft(target) as draft:
        for part in parts:
            await draft.append(part)
        return await draft.commit()


async def everything(store: LabelStore, key: LabelSetKey) -> list[PoseColumns]:
    return [columns async for columns in store.read(key)]


def crash(store: LabelStore, point: str) -> int:
    return subprocess.run([sys.executable, WRITER, store.folder, point], check=False).returncode


def crash_after(store: LabelStore, commit_count: int) -> None:
    command = [sys.executable, str(WRITER), str(store.folder), "any"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for index in range(commit_count):
            assert writer.stdout.readline() == f"{index}\n"
        writer.kill()


def files(store: LabelStore) -> list[Path]:
    return [path for path in (store.folder / "segments").rglob("*") if path.is_file()]


async def test_segments_are_read_in_frame_order(
    store: LabelStore, label_set: LabelSet, poses: Make, same_poses: Same, joined: Join
) -> None:
    await store.create(label_set)
    columns = poses(list(range(0, 3000, 2)))
    for index, (start, stop) in enumerate([(1000, 2000), (0, 1000), (2000, 0)]):
        wanted = (columns.frame_indices_F >= start) & (columns.frame_indices_F < (stop or 5000))
        target = SegmentTarget(label_set.key, index, start, stop, 1)
        await commit(store, target, columns.select(wanted))
    same_poses(joined(await everything(store, label_set.key)), columns)


@pytest.mark.parametrize(
    "point",
    [
        "inside the file",
        "between file and manifest",
        "between manifest and removal of the old file",
    ],
)
async def test_a_kill_leaves_the_old_segment_or_the_new_one(
    point: str, store: LabelStore, label_set: LabelSet
) -> None:
    await store.create(label_set)
    await commit(store, crashing_writer.target(0, 1), crashing_writer.poses(0, 1.0))
    assert crash(store, point) == -signal.SIGKILL
    assert len(files(store)) == 2
    assert await store.sweep() == 1
    (columns,) = await everything(store, label_set.key)
    expected = 2.0 if point.startswith("between manifest") else 1.0
    assert columns.frame_count == crashing_writer.FRAME_COUNT
    assert (columns.points_px_MN2 == expected).all()


@pytest.mark.parametrize("commit_count", [1, 3, 8])
async def test_every_commit_that_was_answered_survives_a_kill(
    commit_count: int, store: LabelStore, label_set: LabelSet
) -> None:
    await store.create(label_set)
    crash_after(store, commit_count)
    await store.sweep()
    parts = await everything(store, label_set.key)
    assert len(parts) >= commit_count
    assert len(files(store)) == len(parts)
    for index, part in enumerate(parts):
        assert part.frame_count == crashing_writer.FRAME_COUNT
        assert (part.points_px_MN2 == index).all()


async def test_a_stale_writer_is_refused_before_it_writes(
    store: LabelStore, label_set: LabelSet, poses: Make
) -> None:
    await store.create(label_set)
    target = SegmentTarget(label_set.key, 0, 0, 10, 3)
    await commit(store, target, poses([1]))
    with pytest.raises(Aborted) as caught:
        async with store.draft(replace(target, fencing_token=2)):
            pytest.fail("the draft was opened")
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    assert len(files(store)) == 1


async def test_a_refused_or_interrupted_writer_leaves_no_file(
    store: LabelStore, label_set: LabelSet, poses: Make
) -> None:
    await store.create(label_set)
    target = SegmentTarget(label_set.key, 0, 0, 10, 1)
    with pytest.raises(InvalidArgument):
        await commit(store, target, poses([11]))
    async with store.draft(target) as late:
        await late.append(poses([1]))
        await commit(store, replace(target, fencing_token=2), poses([2]))
        with pytest.raises(Aborted):
            await late.commit()
    assert len(files(store)) == 1


@pytest.mark.parametrize("step_count", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_cancelled_writer_leaves_files_and_manifest_in_agreement(
    step_count: int, store: LabelStore, label_set: LabelSet, poses: Make
) -> None:
    await store.create(label_set)
    writing = asyncio.create_task(
        commit(store, SegmentTarget(label_set.key, 0, 0, 10, 1), poses([1]))
    )
    for _ in range(step_count):
        await asyncio.wait([writing], timeout=0.0005)
    writing.cancel()
    await asyncio.wait([writing])
    await store.settle()
    segments = await store.manifest.list_segments(label_set.key, -1, 10)
    visible = {store.folder / segment.path for segment in segments}
    assert set(files(store)) == visible


@pytest.mark.parametrize(
    ("changes", "frames", "complaint"),
    [
        ({"index": -1}, [], "segments count from 0"),
        ({"start": 5, "stop": 5}, [], "holds no frames"),
        ({"start": -1}, [], "holds no frames"),
        ({"start": 5000, "stop": 0}, [], "holds no frames"),
        ({}, [[9, 10]], "do not lie in the segment's range"),
        ({"start": 3}, [[2]], "do not lie in the segment's range"),
        ({}, [[4, 5], [5, 6]], "frame 5 comes after frame 5"),
    ],
)
async def test_poses_outside_their_segment_are_refused(
    changes: dict[str, int],
    frames: list[list[int]],
    complaint: str,
    store: LabelStore,
    label_set: LabelSet,
    poses: Make,
) -> None:
    await store.create(label_set)
    target = replace(SegmentTarget(label_set.key, 0, 0, 10, 1), **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=complaint) as caught:
        await commit(store, target, *(poses(some) for some in frames))
    assert caught.value.reason == "POSES_INVALID"
    assert files(store) == []


async def test_a_reader_keeps_the_segment_that_it_began_with(
    store: LabelStore, label_set: LabelSet, poses: Make, same_poses: Same
) -> None:
    await store.create(label_set)
    target = SegmentTarget(label_set.key, 0, 0, 10, 1)
    old, new = poses([1], seed=1), poses([2], seed=2)
    await commit(store, target, old)
    async with store.snapshot([label_set.key]) as [[segment]]:
        await commit(store, target, new)
        assert (store.folder / segment.path).is_file()
        same_poses((await everything(store, label_set.key))[0], new)
    assert [path.relative_to(store.folder).as_posix() for path in files(store)] != [segment.path]
    assert len(files(store)) == 1


async def test_a_deleted_label_set_leaves_no_files(
    store: LabelStore, label_set: LabelSet, poses: Make
) -> None:
    await store.create(label_set)
    await commit(store, SegmentTarget(label_set.key, 0, 0, 10, 1), poses([1]))
    await store.delete(label_set.key)
    assert files(store) == []
    with pytest.raises(NotFound):
        await everything(store, label_set.key)


async def test_damage_is_reported_and_not_passed_on(
    store: LabelStore, label_set: LabelSet, poses: Make
) -> None:
    await store.create(label_set)
    segment = await commit(store, SegmentTarget(label_set.key, 0, 0, 10, 1), poses([1]))
    path = store.folder / segment.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataLoss):
        await everything(store, label_set.key)


async def test_concurrent_commits_all_become_visible(
    store: LabelStore, label_set: LabelSet, poses: Make
) -> None:
    await store.create(label_set)
    targets = [SegmentTarget(label_set.key, i, i * 10, i * 10 + 10, 1) for i in range(12)]
    await asyncio.gather(*(commit(store, t, poses([t.start])) for t in targets))
    found = np.concatenate([c.frame_indices_F for c in await everything(store, label_set.key)])
    assert found.tolist() == [target.start for target in targets]

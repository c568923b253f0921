"""The manifest remembers what was committed, and by whom."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shoal_core.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from shoal_core.skeleton import Skeleton
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment, SegmentTarget, Video
from shoal_labels.manifest import Manifest


@pytest.fixture
async def manifest(tmp_path: Path) -> AsyncIterator[Manifest]:
    manifest = await Manifest.open(f"sqlite+aiosqlite:///{tmp_path}/labels.db")
    yield manifest
    await manifest.close()


def segment(key: LabelSetKey, index: int, **changes: Any) -> Segment:
    plain = Segment(
        key=key,
        index=index,
        start=index * 100,
        stop=index * 100 + 100,
        fencing_token=1,
        path=f"segments/{index}",
        checksum="00",
        frame_count=100,
        instance_count=200,
    )
    return replace(plain, **changes)


def target(segment: Segment, fencing_token: int) -> SegmentTarget:
    return SegmentTarget(segment.key, segment.index, segment.start, segment.stop, fencing_token)


async def test_a_label_set_is_remembered_with_its_counts(
    manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(label_set)
    for index in range(3):
        await manifest.put_segment(segment(label_set.key, index))
    stored = await manifest.label_set(label_set.key)
    assert stored == label_set
    assert (stored.frame_count, stored.instance_count) == (300, 600)


async def test_creating_twice_returns_the_one_that_is_there(
    manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(replace(label_set, create_time_us=7))
    again = await manifest.create_label_set(replace(label_set, create_time_us=8))
    assert again.create_time_us == 7


@pytest.mark.parametrize(
    "change",
    [
        {"video": Video("/videos/others.mp4")},
        {"skeleton": Skeleton("fly", ("head", "thorax", "abdomen"))},
        {"track_names": ("male", "female")},
        {"provenance": {"model": "m2"}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_creating_with_other_contents_is_refused(
    change: dict[str, Any], manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(label_set)
    with pytest.raises(AlreadyExists) as caught:
        await manifest.create_label_set(replace(label_set, **change))
    assert caught.value.reason == "LABEL_SET_EXISTS"


async def test_a_writer_is_refused_as_soon_as_a_newer_one_has_begun(
    manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(label_set)
    mine = segment(label_set.key, 0, fencing_token=4)
    await manifest.claim(target(mine, 4))
    await manifest.claim(target(mine, 5))
    with pytest.raises(Aborted) as caught:
        await manifest.put_segment(mine)
    assert caught.value.reason == "FENCING_TOKEN_STALE"
    assert await manifest.list_segments(label_set.key, -1, 10) == []


@pytest.mark.parametrize("token", [5, 6])
async def test_an_equal_or_newer_token_replaces(
    token: int, manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(label_set)
    first = segment(label_set.key, 0, fencing_token=5)
    assert await manifest.put_segment(first) is None
    second = replace(first, fencing_token=token, path="segments/new", frame_count=7)
    assert await manifest.put_segment(second) == first.path
    assert await manifest.list_segments(label_set.key, -1, 10) == [second]


async def test_a_stale_token_leaves_the_segment_alone(
    manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(label_set)
    first = segment(label_set.key, 0, fencing_token=5)
    await manifest.put_segment(first)
    with pytest.raises(Aborted):
        await manifest.put_segment(replace(first, fencing_token=4, path="segments/old"))
    assert await manifest.list_segments(label_set.key, -1, 10) == [first]


async def test_a_frame_belongs_to_one_segment(manifest: Manifest, label_set: LabelSet) -> None:
    await manifest.create_label_set(label_set)
    await manifest.put_segment(segment(label_set.key, 0))
    with pytest.raises(InvalidArgument, match="Segment 0"):
        await manifest.put_segment(segment(label_set.key, 1, start=99))


async def test_deleting_forgets_segments_and_tokens(
    manifest: Manifest, label_set: LabelSet
) -> None:
    await manifest.create_label_set(label_set)
    await manifest.put_segment(segment(label_set.key, 0, fencing_token=9))
    assert await manifest.delete_label_set(label_set.key) == ["segments/0"]
    with pytest.raises(NotFound):
        await manifest.label_set(label_set.key)
    await manifest.create_label_set(label_set)
    await manifest.put_segment(segment(label_set.key, 0, fencing_token=1))


async def test_pages_follow_one_another_in_order(manifest: Manifest, label_set: LabelSet) -> None:
    names = ["a", "b", "B", "c-1", "c-10", "c-2"]
    for name in names:
        await manifest.create_label_set(replace(label_set, key=LabelSetKey("lab", name)))
    await manifest.create_label_set(replace(label_set, key=LabelSetKey("other", "x")))
    listed: list[str] = []
    while page := await manifest.list_label_sets("lab", listed[-1] if listed else "", 4):
        listed += [label_set.key.label_set for label_set in page]
    assert listed == sorted(names)


async def test_a_newer_schema_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "labels.db") as database:
        database.execute("INSERT INTO schema_versions VALUES (2)")
    with pytest.raises(FailedPrecondition, match="update Shoal") as caught:
        await Manifest.open(f"sqlite+aiosqlite:///{tmp_path}/labels.db")
    assert caught.value.reason == "SCHEMA_TOO_NEW"


async def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    path.write_bytes(b"these are no tables " * 500)
    with pytest.raises(DataLoss) as caught:
        await Manifest.open(f"sqlite+aiosqlite:///{path}")
    assert caught.value.reason == "MANIFEST_DAMAGED"


async def test_commits_survive_a_power_cut(manifest: Manifest, tmp_path: Path) -> None:
    async with manifest._writing() as connection:
        journal = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one()
        synchronous = (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one()
    assert (journal, synchronous) == ("wal", 2)

"""Laws of the linking task: one tracker over all frames, however they are cut."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_common import convert
from shoal_common.channel import open_channel
from shoal_core.errors import Aborted, InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.tracking import Tracker, WindowTracker
from shoal_worker.label_sets import LabelSets
from shoal_worker.linking import link
from shoal_worker.queue import Lease
from tests.fakes.label_store import FakeLabelStore

SOURCE, RESULT = "projects/lab/labelSets/raw", "projects/lab/labelSets/linked"
FRAME_COUNT = 57


def crossing(seed: int = 4) -> list[FramePoses]:
    """Three animals on lines that cross; now and then one is missed, or a whole frame."""
    dice = np.random.default_rng(seed)
    frames = []
    for index in range(FRAME_COUNT):
        place = np.array([[index, 40], [FRAME_COUNT - index, 42], [30, index]], np.float32)
        points = place[:, None] * 4 + np.array([[0, 0], [6, 2]], np.float32)
        kept = dice.permutation(3)[: dice.integers(0, 4)]
        points = points[kept] + dice.normal(0, 0.3, (len(kept), 2, 2)).astype(np.float32)
        scores = np.ones(points.shape[:2], np.float32)
        frames.append(
            FramePoses.untracked(index, points, scores, dice.random(len(kept), np.float32))
        )
    return frames


def link_task(*, token: int = 1, tracker: bool = True) -> jobs_pb2.Task:
    return jobs_pb2.Task(
        name="projects/lab/jobs/j/tasks/9",
        fencing_token=token,
        spec=jobs_pb2.TrackJobSpec(
            range=video_pb2.FrameRange(start=0, stop=FRAME_COUNT),
            tracker=parameters_pb2.TrackerParameters(
                window=parameters_pb2.WindowTrackerParameters() if tracker else None
            ),
        ),
        link=jobs_pb2.LinkTask(source_label_set=SOURCE, result_label_set=RESULT),
    )


@asynccontextmanager
async def label_sets(folder: Path) -> AsyncIterator[tuple[FakeLabelStore, LabelSets]]:
    store = FakeLabelStore(f"unix:{folder}/l")
    await store.start()
    skeleton = convert.skeleton_message(Skeleton("fly", ("a", "b"), ((0, 1),), ()))
    frames = crossing()
    source = labels_pb2.LabelSet(name=SOURCE, skeleton=skeleton)
    store.add(source, frames[:20], frames[20:21], frames[21:])
    store.add(labels_pb2.LabelSet(name=RESULT, skeleton=skeleton))
    async with open_channel(store.target) as channel:
        yield store, LabelSets(labels_pb2_grpc.LabelsServiceStub(channel))
    await store.stop()


def lease(task: jobs_pb2.Task, channel_target: str = "unix:/nowhere") -> Lease:
    return Lease(task, jobs_pb2_grpc.WorkQueueServiceStub(open_channel(channel_target)))


def assert_equal(got: list[FramePoses], expected: list[FramePoses]) -> None:
    assert [frame.frame_index for frame in got] == [frame.frame_index for frame in expected]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one.track_indices_I, other.track_indices_I)
        np.testing.assert_array_equal(one.tracking_scores_I, other.tracking_scores_I)
        np.testing.assert_array_equal(one.points_px_IN2, other.points_px_IN2)


def linked_at_once() -> list[FramePoses]:
    tracker = Tracker(WindowTracker())
    return [tracker.update(frame) for frame in crossing()]


@pytest.mark.parametrize("frames_per_segment", [1, 2, 7, 20, FRAME_COUNT, 1000])
async def test_linking_in_segments_equals_one_tracker_over_all_frames(
    tmp_path: Path, frames_per_segment: int
) -> None:
    async with label_sets(tmp_path) as (store, client):
        leased = lease(link_task())
        await link(leased, client, frames_per_segment=frames_per_segment)
        assert_equal(store.frames(RESULT), linked_at_once())
        headers = [header for header, _ in store.segments[RESULT].values()]
    borders = [(header.range.start, header.range.stop) for header in headers]
    assert borders[0][0] == 0
    assert borders[-1][1] == FRAME_COUNT
    assert all(before[1] == after[0] for before, after in itertools.pairwise(borders))
    assert leased.done_frame_count == FRAME_COUNT
    assert leased.instance_count == sum(frame.instance_count for frame in crossing())


async def test_linking_again_under_a_higher_token_gives_the_same(tmp_path: Path) -> None:
    async with label_sets(tmp_path) as (store, client):
        await link(lease(link_task(token=1)), client, frames_per_segment=10)
        await link(lease(link_task(token=2)), client, frames_per_segment=10)
        assert_equal(store.frames(RESULT), linked_at_once())
        assert {header.fencing_token for header, _ in store.segments[RESULT].values()} == {2}


async def test_linking_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    async with label_sets(tmp_path) as (store, client):
        running = asyncio.create_task(link(lease(link_task()), client, frames_per_segment=5))
        while not store.segments[RESULT]:  # noqa: ASYNC110 -- the fake has no event for it
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await link(lease(link_task(token=2)), client, frames_per_segment=5)
        assert_equal(store.frames(RESULT), linked_at_once())


async def test_linking_under_a_stale_token_is_refused(tmp_path: Path) -> None:
    async with label_sets(tmp_path) as (_, client):
        await link(lease(link_task(token=2)), client)
        with pytest.raises(Aborted) as caught:
            await link(lease(link_task(token=1)), client)
    assert caught.value.reason == "FENCING_TOKEN_STALE"


async def test_linking_without_a_tracker_is_a_named_error(tmp_path: Path) -> None:
    async with label_sets(tmp_path) as (_, client):
        with pytest.raises(InvalidArgument, match="tracker"):
            await link(lease(link_task(tracker=False)), client)

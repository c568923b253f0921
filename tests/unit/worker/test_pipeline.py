"""Laws of the pipeline: order, bounds, and an end without remains."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.common.v1 import video_pb2
from shoal_common.inference.client import SharedFrames
from shoal_common.inference.estimator import Estimate
from shoal_common.roots import AllowedRoots
from shoal_common.shm import FrameRing
from shoal_common.watchdog import Watchdog
from shoal_core.errors import DataLoss, OutOfRange, Unavailable
from shoal_core.pose import FramePoses
from shoal_media.readers import open_video
from shoal_worker.load import PipelineLoad
from shoal_worker.pipeline import Pipeline
from shoal_worker.videos import Videos
from tests.unit.worker.conftest import FRAME_COUNT, WAIT_SECONDS


class FakeEstimator:
    """Poses that repeat the frame's second pixel, after turns of the loop that `dice` throws."""

    def __init__(self, batch_size: int, dice: np.random.Generator) -> None:
        self.batch_size = batch_size
        self.fails_at: int | None = None
        self.hangs = False
        self.begun = asyncio.Event()
        self.running_count = 0
        self.most_running = 0
        self._dice = dice

    async def estimate(
        self, frames: SharedFrames, frame_indices: Sequence[int], *, centroids: Any = None
    ) -> Estimate:
        self.running_count += 1
        self.most_running = max(self.most_running, self.running_count)
        self.begun.set()
        try:
            for _ in range(self._dice.integers(0, 40)):
                await asyncio.sleep(0)
            if self.fails_at in frame_indices:
                raise Unavailable("ENGINE_UNAVAILABLE", "The engine is away.")
            if self.hangs:
                await asyncio.Event().wait()
            return self._answer(frames, frame_indices, centroids)
        finally:
            self.running_count -= 1

    def _answer(
        self, frames: SharedFrames, frame_indices: Sequence[int], centroids: Any
    ) -> Estimate:
        poses = []
        given = [None] * len(frame_indices) if centroids is None else centroids
        for index, frame, centroid in zip(frame_indices, frames.pixels_BHWC, given, strict=True):
            seen = float(frame[0, 1, 0])
            points = np.full((1, 2, 2), seen, np.float32) if centroid is None else centroid[:, None]
            scores = np.ones(points.shape[:2], np.float32)
            poses.append(FramePoses.untracked(index, points, scores, scores[:, 0]))
        return Estimate(poses, 1.0, 1.0, overflow_frame_count=len(poses))


class Setting:
    """A pipeline and what it uses."""

    def __init__(self, pipeline: Pipeline, estimator: FakeEstimator, ring: FrameRing) -> None:
        self.pipeline = pipeline
        self.estimator = estimator
        self.ring = ring
        self.advances: list[tuple[int, int, int]] = []

    async def run(self, frame_indices: Sequence[int], centroids: Any = None) -> list[FramePoses]:
        return await self.pipeline.run(
            frame_indices,
            centroids=centroids,
            advance=lambda *counts: self.advances.append(counts),
        )

    def all_slots_are_free(self) -> bool:
        self.ring.acquire(self.ring.slot_count, timeout_s=0)
        return True


@asynccontextmanager
async def pipeline_of(
    folder: Path, video: video_pb2.Video, *, batch_size: int = 4, request_count: int = 3, seed=0
) -> AsyncIterator[Setting]:
    videos = Videos(
        roots=AllowedRoots((str(folder),)),
        thread_count=1,
        watchdog=Watchdog(limit_seconds=WAIT_SECONDS),
    )
    reader = await videos.open(video)
    ring = FrameRing.create((request_count + 2) * batch_size, 64)
    estimator = FakeEstimator(batch_size, np.random.default_rng(seed))
    pipeline = Pipeline(
        videos=videos,
        reader=reader,
        estimator=estimator,  # type: ignore[arg-type]
        ring=ring,
        request_count=request_count,
        load=PipelineLoad(),
    )
    try:
        yield Setting(pipeline, estimator, ring)
    finally:
        ring.close()
        await videos.aclose()


def seen(poses: Sequence[FramePoses]) -> list[tuple[int, float]]:
    return [(frame.frame_index, float(frame.points_px_IN2[0, 0, 0])) for frame in poses]


@settings(max_examples=25, deadline=None)
@given(
    batch_size=st.integers(1, 20),
    request_count=st.integers(1, 5),
    frames=st.lists(st.integers(0, FRAME_COUNT - 1), unique=True).map(sorted),
    seed=st.integers(0, 1000),
)
def test_poses_come_in_the_order_of_frames_however_batches_overtake_one_another(
    folder: Path,
    video: video_pb2.Video,
    batch_size: int,
    request_count: int,
    frames: list[int],
    seed: int,
) -> None:
    async def law() -> None:
        async with pipeline_of(
            folder, video, batch_size=batch_size, request_count=request_count, seed=seed
        ) as setting:
            assert seen(await setting.run(frames)) == [(index, index) for index in frames]
            assert sum(count for count, _, _ in setting.advances) == len(frames)
            assert setting.estimator.most_running <= request_count
            assert sum(overflow for _, _, overflow in setting.advances) == len(frames)
            assert setting.all_slots_are_free()

    asyncio.run(law())


async def test_centroids_go_with_their_frames(folder: Path, video: video_pb2.Video) -> None:
    centroids = {
        index: np.full((index % 3 + 1, 2), index, np.float32) for index in range(0, FRAME_COUNT, 3)
    }
    async with pipeline_of(folder, video) as setting:
        poses = await setting.run(sorted(centroids), centroids)
    for frame in poses:
        np.testing.assert_array_equal(frame.points_px_IN2[:, 0], centroids[frame.frame_index])


@pytest.mark.parametrize("fails_at", [0, 17, FRAME_COUNT - 1])
@pytest.mark.parametrize("request_count", [1, 3])
async def test_failing_batch_ends_everything_and_surfaces(
    folder: Path, video: video_pb2.Video, fails_at: int, request_count: int
) -> None:
    before = asyncio.all_tasks()
    async with pipeline_of(folder, video, request_count=request_count) as setting:
        setting.estimator.fails_at = fails_at
        with pytest.raises(Unavailable) as caught:
            await setting.run(range(FRAME_COUNT))
        assert caught.value.reason == "ENGINE_UNAVAILABLE"
        assert setting.estimator.running_count == 0
        assert setting.all_slots_are_free()
        assert asyncio.all_tasks() == before


async def test_frame_that_cannot_be_read_ends_everything_and_surfaces(
    folder: Path, video: video_pb2.Video
) -> None:
    async with pipeline_of(folder, video) as setting:
        with pytest.raises((OutOfRange, DataLoss)) as caught:
            await setting.run([0, 1, 2, 3, 4, FRAME_COUNT])
        assert caught.value.reason == "FRAME_OUT_OF_RANGE"
        assert setting.all_slots_are_free()


@pytest.mark.parametrize("damaged", [{0}, {5, 6}, {0, 1, 2, 3}, {48, 49}, set(range(1, 50))])
async def test_damaged_frames_are_left_out_and_shift_no_other(
    damaged: set[int], folder: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(folder, tmp_path / "images")
    for index in damaged:
        (images / f"{index:03}.png").write_bytes(b"\x89PNG damaged")
    with open_video(images) as reader:
        video = video_pb2.Video(uri=str(images), content_hash=reader.info.content_hash)
    async with pipeline_of(tmp_path, video) as setting:
        poses = await setting.run(range(FRAME_COUNT))
        readable = [index for index in range(FRAME_COUNT) if index not in damaged]
        assert seen(poses) == [(index, float(index)) for index in readable]
        assert sum(counts[0] for counts in setting.advances) == len(readable)
        assert setting.all_slots_are_free()


async def test_cancelled_work_frees_every_slot(folder: Path, video: video_pb2.Video) -> None:
    async with pipeline_of(folder, video) as setting:
        setting.estimator.hangs = True
        running = asyncio.create_task(setting.run(range(FRAME_COUNT)))
        await setting.estimator.begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert setting.estimator.running_count == 0
        assert setting.all_slots_are_free()

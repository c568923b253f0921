"""Decoding, inference and grouping of a run of frames, overlapped with bounded queues.

frames → ring (one decoding thread) → engine (several requests in flight) → grouping → poses
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.client import SharedFrames
from shoal_common.inference.estimator import Estimate, PoseEstimator
from shoal_common.shm import FrameRing, Slots
from shoal_core.errors import DeadlineExceeded
from shoal_core.pose import FramePoses
from shoal_media.readers import VideoReader
from shoal_worker.load import PipelineLoad
from shoal_worker.videos import Videos

Centroids = Mapping[int, NDArray[np.float32]]
"""Frame index → centroids [I, 2] in pixels."""


@dataclass(frozen=True)
class _Batch:
    number: int
    frame_indices: Sequence[int]
    """Frames that could be read; they lie in the first slots."""
    slots: Slots

    @property
    def filled_slots(self) -> Slots:
        return replace(self.slots, generations=self.slots.generations[: len(self.frame_indices)])


class Pipeline:
    """Turns frames of one video into poses, in order."""

    def __init__(
        self,
        *,
        videos: Videos,
        reader: VideoReader,
        estimator: PoseEstimator,
        ring: FrameRing,
        request_count: int,
        load: PipelineLoad,
    ) -> None:
        self._videos = videos
        self._reader = reader
        self._estimator = estimator
        self._ring = ring
        self._request_count = request_count
        self._load = load

    async def run(
        self,
        frame_indices: Sequence[int],
        *,
        centroids: Centroids | None,
        advance: Callable[[int, int, int], None],
    ) -> list[FramePoses]:
        """Returns the poses of those of `frame_indices` that are not damaged, in their order.

        Args:
            frame_indices: Increasing frame indices.
            centroids: Where the animals are, for centred-instance models that run alone.
            advance: Told (frames, instances, frames in which the model found more than it can
                return) after every batch.

        Raises:
            ShoalError: The first failure of decoding or inference; nothing is left running.
        """
        batch_size = self._estimator.batch_size
        batches = [
            frame_indices[start : start + batch_size]
            for start in range(0, len(frame_indices), batch_size)
        ]
        decoded: asyncio.Queue[_Batch | None] = asyncio.Queue(maxsize=1)
        self._load.ring, self._load.decoded = self._ring, decoded
        poses: dict[int, list[FramePoses]] = {}

        async def infer() -> None:
            while (batch := await decoded.get()) is not None:
                estimate = await self._infer(batch, centroids)
                poses[batch.number] = estimate.poses
                advance(
                    len(estimate.poses),
                    sum(frame.instance_count for frame in estimate.poses),
                    estimate.overflow_frame_count,
                )

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._decode(batches, decoded))
                for _ in range(self._request_count):
                    tasks.create_task(infer())
        except ExceptionGroup as failures:
            # The first failure has cancelled the rest, and is the one that the job is told.
            raise failures.exceptions[0] from None
        finally:
            self._load.ring = self._load.decoded = None
            while not decoded.empty():
                if (left := decoded.get_nowait()) is not None:
                    self._ring.release(left.slots)
        return [frame for number in range(len(batches)) for frame in poses.get(number, ())]

    async def _decode(
        self, batches: Sequence[Sequence[int]], decoded: "asyncio.Queue[_Batch | None]"
    ) -> None:
        for number, frame_indices in enumerate(batches):
            slots = await self._ring.acquire_async(len(frame_indices))
            try:
                pixels_BHWC = self._pixels(slots)
                read = await self._videos.read_into(self._reader, frame_indices, pixels_BHWC)
                if read:
                    await decoded.put(_Batch(number, read, slots))
                else:
                    self._ring.release(slots)
            except BaseException:
                self._ring.release(slots)
                raise
        for _ in range(self._request_count):
            await decoded.put(None)

    async def _infer(self, batch: _Batch, centroids: Centroids | None) -> Estimate:
        first, last = batch.frame_indices[0], batch.frame_indices[-1]
        self._load.in_flight_request_count += 1
        try:
            return await self._estimator.estimate(
                self._shared(batch.filled_slots),
                batch.frame_indices,
                centroids=None
                if centroids is None
                else [centroids[index] for index in batch.frame_indices],
            )
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                "ENGINE_SILENT",
                f"The engine has not answered about frames {first} to {last} of "
                f"{self._reader.info.path} in time ({error.message}); see the engine's log.",
            ) from error
        finally:
            self._load.in_flight_request_count -= 1
            self._ring.release(batch.slots)

    def _shared(self, slots: Slots) -> SharedFrames:
        return SharedFrames(self._ring, slots, (slots.count, *self._reader.frame_shape_HWC))

    def _pixels(self, slots: Slots) -> NDArray[np.uint8]:
        return self._ring.view(slots, self._reader.frame_shape_HWC)

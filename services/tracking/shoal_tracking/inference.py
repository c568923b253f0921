"""From a frame's payload to its poses, with the time of each step."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from shoal.common.v1 import frame_pb2
from shoal_common.inference.deployment import Deployment
from shoal_common.inference.estimator import PoseEstimator
from shoal_core.pose import FramePoses
from shoal_tracking.frames import FrameSource
from shoal_tracking.slots import FrameSlots, Placed

Result = TypeVar("Result")

_QUICK_BYTES = 1024 * 1024
"""Raw pixels up to here are copied in less time than a thread takes to begin."""


@dataclass(frozen=True)
class TimedPoses:
    """The poses of a frame, and where the time went, in milliseconds."""

    poses: FramePoses
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    inference_ms: float = 0.0
    grouping_ms: float = 0.0


class FrameInference:
    """Estimates the poses of one session's frames; several frames may be under way."""

    def __init__(
        self,
        *,
        deployment: Deployment,
        estimator: PoseEstimator,
        frames: FrameSource,
        slots: FrameSlots,
        clock: Callable[[], float],
        threads: ThreadPoolExecutor,
    ) -> None:
        self._deployment = deployment
        self._estimator = estimator
        self._frames = frames
        self._slots = slots
        self._clock = clock
        self._threads = threads
        # Readers and regions belong to one frame at a time; the first come is the first read.
        self._reading = asyncio.Lock()

    async def poses(
        self, frame_index: int, payload: frame_pb2.FramePayload, *, arrived: float
    ) -> TimedPoses:
        """Returns the poses of a frame that arrived at a time of the session's clock."""
        async with self._reading:
            begun = self._clock()
            if _is_quick(payload):
                placed = self._read(payload)
            else:
                placed = await self._on_thread(self._read, payload)
        decoded = self._clock()
        try:
            estimate = await self._estimator.estimate(placed, [frame_index])
        finally:
            self._slots.release(placed)
        return TimedPoses(
            poses=estimate.poses[0],
            queue_ms=(begun - arrived) * 1000,
            decode_ms=(decoded - begun) * 1000,
            inference_ms=estimate.inference_ms,
            grouping_ms=estimate.grouping_ms,
        )

    async def aclose(self) -> None:
        """Frees videos and shared memory, here and at the engine."""
        # On threads: a read that its caller has given up must end before its video is closed.
        try:
            await self._on_thread(self._frames.close)
        finally:
            ring = await self._on_thread(self._slots.close)
            if ring is not None:
                await self._deployment.forget(ring)

    async def _on_thread(self, function: Callable[..., Result], *arguments: object) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    def _read(self, payload: frame_pb2.FramePayload) -> Placed:
        return self._slots.place(self._frames.read(payload))


def _is_quick(payload: frame_pb2.FramePayload) -> bool:
    match payload.WhichOneof("payload"):
        case "inline":
            return len(payload.inline.data) <= _QUICK_BYTES
        case "shm":
            return math.prod(payload.shm.shape) <= _QUICK_BYTES
        case _:
            return False

"""From a frame's payload to its poses, with the time of each step."""

import asyncio
from collections.abc import Callable

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_common.inference.estimator import PoseEstimator
from shoal_core.pose import FramePoses
from shoal_tracking.frames import FrameSource


class FrameInference:
    """Estimates the poses of one session's frames; several frames may be under way."""

    def __init__(
        self, *, estimator: PoseEstimator, frames: FrameSource, clock: Callable[[], float]
    ) -> None:
        self._estimator = estimator
        self._frames = frames
        self._clock = clock
        # Readers and regions belong to one frame at a time; the first come is the first read.
        self._reading = asyncio.Lock()

    async def poses(self, item: pb.FrameItem, latency: pb.LatencyBreakdown) -> FramePoses:
        """Returns the poses of a frame and fills in where the time went."""
        arrived = self._clock()
        async with self._reading:
            begun = self._clock()
            frame_HWC = await asyncio.to_thread(self._frames.read, item.frame)
        decoded = self._clock()
        estimate = await self._estimator.estimate(frame_HWC[None], [item.frame_index])
        latency.queue_ms = (begun - arrived) * 1000
        latency.decode_ms = (decoded - begun) * 1000
        latency.inference_ms = estimate.inference_ms
        latency.grouping_ms = estimate.grouping_ms
        return estimate.poses[0]

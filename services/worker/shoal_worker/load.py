"""How full the queues between decoding, inference and grouping are."""

import asyncio
from dataclasses import dataclass
from typing import Any

from shoal_common.metrics import Metrics
from shoal_common.shm import FrameRing


@dataclass
class PipelineLoad:
    """The queues of the segment that is being worked on, if there is one."""

    ring: FrameRing | None = None
    """The frames in memory."""
    decoded: "asyncio.Queue[Any] | None" = None
    """Batches that wait for the engine."""
    in_flight_request_count: int = 0
    """Batches that the engine has."""

    def report_to(self, metrics: Metrics) -> None:
        """Lets metrics read these numbers."""
        metrics.gauge(
            "ring_used_slots",
            "Frames in shared memory.",
            lambda: 0 if self.ring is None else self.ring.used_slot_count,
        )
        metrics.gauge(
            "ring_capacity_slots",
            "Most of them.",
            lambda: 0 if self.ring is None else self.ring.slot_count,
        )
        metrics.gauge(
            "decoded_batches",
            "Batches decoded and waiting.",
            lambda: 0 if self.decoded is None else self.decoded.qsize(),
        )
        metrics.gauge(
            "decoded_capacity_batches",
            "Most of them.",
            lambda: 0 if self.decoded is None else self.decoded.maxsize,
        )
        metrics.gauge(
            "in_flight_requests",
            "Batches that the engine has.",
            lambda: self.in_flight_request_count,
        )

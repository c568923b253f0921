"""Who computes when: a stream per core, and a queue with an end.

A request of several frames is cut into parts of a few frames, each computed from first to last
step on one thread. Parts of one request keep all cores busy without waiting for one another, one
part's glue runs beside another's body, and the memory in use is that of a few frames, whatever
the batch. On two cores this makes 16 frames of 384 × 384 px 7 % faster than one pass over all of
them on two threads. A request that cannot be cut and is alone uses all threads for each body.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import Unavailable
from shoal_engine.models import Arrays, Model
from shoal_engine.statistics import Statistics

_PART_FRAME_COUNT = 4
"""Most frames of a part: large enough that the calls around the arithmetic do not count."""


@dataclass(frozen=True)
class _PartResult:
    outputs: dict[str, NDArray[Any]]
    start_ns: int
    end_ns: int


class Streams:
    """Runs requests on a bounded number of threads; used on the event loop only."""

    def __init__(self, *, stream_count: int, max_queued_requests: int) -> None:
        self._stream_count = stream_count
        self._max_queued_requests = max_queued_requests
        self._pool = ThreadPoolExecutor(stream_count, thread_name_prefix="stream")
        self._request_count = 0

    async def run(
        self, model: Model, inputs: Arrays, outputs: Sequence[str], statistics: Statistics
    ) -> dict[str, NDArray[Any]]:
        """Returns the named outputs; what is still queued is dropped when the caller gives up.

        Raises:
            Unavailable: QUEUE_FULL when too many requests are waiting.
            InvalidArgument: INPUT_SHAPE_MISMATCH or INPUT_REJECTED.
            ResourceExhausted: MEMORY_FULL.
        """
        parts = self._cut(model, inputs)
        self._check_queue()
        wide = len(parts) == 1 and self._request_count == 0
        self._request_count += 1
        arrival_ns = time.monotonic_ns()
        futures = [
            asyncio.wrap_future(self._pool.submit(_run, model, part, outputs, wide))
            for part in parts
        ]
        try:
            results = await asyncio.gather(*futures)
        finally:
            self._request_count -= 1
            for future in futures:
                future.cancel()
        start_ns = min(result.start_ns for result in results)
        statistics.queue.add(start_ns - arrival_ns)
        statistics.compute.add(max(result.end_ns for result in results) - start_ns)
        return _joined([result.outputs for result in results])

    def close(self) -> None:
        """Ends the threads when they have finished what they are computing."""
        self._pool.shutdown(cancel_futures=True)

    def _check_queue(self) -> None:
        if self._request_count >= self._stream_count + self._max_queued_requests:
            raise Unavailable(
                "QUEUE_FULL",
                f"{self._max_queued_requests} requests are waiting already; try again later.",
                max_queued_requests=self._max_queued_requests,
            )

    def _cut(self, model: Model, inputs: Arrays) -> list[Arrays]:
        frame_count = model.frame_count(inputs)
        if frame_count is None:
            return [inputs]
        part_count = max(min(frame_count, self._stream_count), -(-frame_count // _PART_FRAME_COUNT))
        stops = [frame_count * (part + 1) // part_count for part in range(part_count)]
        return [
            {name: array[start:stop] for name, array in inputs.items()}
            for start, stop in zip([0, *stops[:-1]], stops, strict=True)
        ]


def _run(model: Model, inputs: Arrays, outputs: Sequence[str], wide: bool) -> _PartResult:
    start_ns = time.monotonic_ns()
    results = model.run(inputs, outputs, wide=wide)
    return _PartResult(results, start_ns, time.monotonic_ns())


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

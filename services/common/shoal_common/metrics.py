"""Numbers of one process: what its calls have done, and how full its queues are.

Made in `__main__`, handed to whoever has something to count, and read when somebody asks
(`metrics_endpoint`). A gauge is a function that is called then; nothing is computed before.
Used on the event loop only. Names are `<service>_<what>_<unit>`, for example
`shoal_engine_queue_requests`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Read = Callable[[], float] | Callable[[], Awaitable[float]]

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latencies that are counted together; what is longer comes after them."""


@dataclass(frozen=True)
class Number:
    """A number that is read when it is asked for."""

    name: str
    description: str
    kind: Literal["gauge", "counter"]
    labels: Mapping[str, str]
    read: Read


@dataclass
class MethodCalls:
    """What was called of one method."""

    in_flight_count: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """By status code."""
    bucket_counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    total_seconds: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0

    def begin(self) -> None:
        """Counts a call that begins."""
        self.in_flight_count += 1

    def end(self, code: str, seconds: float) -> None:
        """Counts the end of a call that has begun."""
        self.in_flight_count -= 1
        self.ended[code] += 1
        self.bucket_counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.total_seconds += seconds


class Metrics:
    """The registry of one process."""

    def __init__(self, service: str) -> None:
        """Takes the first part of every name, for example `shoal_engine`."""
        self.service = service
        self.calls: dict[str, MethodCalls] = {}
        """By `/package.Service/Method`."""
        self.numbers: list[Number] = []

    def gauge(
        self, what: str, description: str, read: Read, labels: Mapping[str, str] | None = None
    ) -> None:
        """Adds a number that may rise and fall, for example the length of a queue."""
        self.numbers.append(Number(self._name(what), description, "gauge", labels or {}, read))

    def counter(self, what: str, description: str, read: Read) -> None:
        """Adds a number that only grows; `_total` is added to its name."""
        self.numbers.append(Number(self._name(what), description, "counter", {}, read))

    def declare(self, methods: Sequence[str]) -> None:
        """Lets methods show up before their first call."""
        for method in methods:
            self.method(method)

    def method(self, method: str) -> MethodCalls:
        """Returns what was called of `/package.Service/Method`."""
        return self.calls.setdefault(method, MethodCalls())

    def _name(self, what: str) -> str:
        return f"{self.service}_{what}"

"""Whose part is computed next: live before batch, but batch never waits for ever."""

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

from shoal_common.inference.priority import Priority

LIVE_TURNS_IN_A_ROW = 3
"""Live parts that go before a waiting batch part; so batch work keeps a quarter of the time."""


class Divided(Protocol):
    """Work in parts."""

    @property
    def part_count(self) -> int:
        """Number of its parts, at least 1."""
        ...


Work = TypeVar("Work", bound=Divided)


class Turns(Generic[Work]):
    """Hands out parts of works, first come first served in each class; safe on any thread.

    It holds no more than was added: whoever adds says when there is enough.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[Priority, deque[Work]] = {priority: deque() for priority in Priority}
        self._next_part: dict[Work, int] = {}
        self._live_in_a_row = 0
        self._is_closed = False

    def add(self, work: Work, priority: Priority) -> None:
        """Puts work at the end of its class's queue."""
        with self._changed:
            self._waiting[priority].append(work)
            self._next_part[work] = 0
            self._changed.notify(work.part_count)

    def discard(self, work: Work) -> None:
        """Hands out no more parts of this work, if there are any left."""
        with self._changed:
            if self._next_part.pop(work, None) is not None:
                for queue in self._waiting.values():
                    if work in queue:
                        queue.remove(work)

    def take(self) -> tuple[Work, int] | None:
        """Returns a work and which of its parts to compute, waiting for one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or any(self._waiting.values()))
            if self._is_closed:
                return None
            queue = self._waiting[self._choose()]
            work = queue[0]
            part = self._next_part[work]
            if part + 1 < work.part_count:
                self._next_part[work] = part + 1
            else:
                queue.popleft()
                del self._next_part[work]
            return work, part

    def close(self) -> None:
        """Ends all waiting; nothing is handed out any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _choose(self) -> Priority:
        live, batch = self._waiting[Priority.LIVE], self._waiting[Priority.BATCH]
        if live and not (batch and self._live_in_a_row >= LIVE_TURNS_IN_A_ROW):
            self._live_in_a_row += bool(batch)
            return Priority.LIVE
        self._live_in_a_row = 0
        return Priority.BATCH

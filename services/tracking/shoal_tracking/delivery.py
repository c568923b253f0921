"""What happens to frames of a session that come faster than they can be processed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Protocol

from shoal_common import deadlines
from shoal_core.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from shoal_tracking.inference import TimedPoses

Infer = Callable[[], Awaitable[TimedPoses]]

_MOST_PENDING_ANSWERS = 256
"""Answers of a latest-wins session that wait for an earlier one; then the client has to wait."""


class Skip(Enum):
    """Why a frame was not processed."""

    REPLACED = "a newer one came while it waited"
    STALE = "it became too old"


class Delivery(Protocol):
    """A policy, and the state that one session has under it."""

    in_flight_frame_count: int
    """Frames that are inferred at the same time."""
    look_ahead: int
    """Items that are taken in before the first of them is answered."""

    async def deliver(self, arrived: float, infer: Infer) -> TimedPoses | Skip:
        """Returns the poses of a frame that arrived at a time of the clock, or why not."""
        ...


class EveryFrame:
    """Nothing is dropped: a client that is too fast waits."""

    def __init__(self, in_flight_frame_count: int) -> None:
        self.in_flight_frame_count = in_flight_frame_count
        self.look_ahead = in_flight_frame_count

    async def deliver(self, arrived: float, infer: Infer) -> TimedPoses:
        """Returns the poses of the frame."""
        return await infer()


class LatestFrame:
    """A newer frame replaces the one that waits, and a frame that is too old is given up."""

    def __init__(
        self, in_flight_frame_count: int, *, max_age_s: float | None, clock: Callable[[], float]
    ) -> None:
        self.in_flight_frame_count = in_flight_frame_count
        self.look_ahead = _MOST_PENDING_ANSWERS
        self._max_age_s = max_age_s
        self._clock = clock
        self._free_count = in_flight_frame_count
        self._waiting: asyncio.Future[bool] | None = None

    async def deliver(self, arrived: float, infer: Infer) -> TimedPoses | Skip:
        """Returns the poses of the frame, unless it was replaced or became too old."""
        async with self._turn() as has_turn:
            if not has_turn:
                return Skip.REPLACED
            if self._max_age_s is None:
                return await infer()
            left_s = arrived + self._max_age_s - self._clock()
            if left_s <= 0:
                return Skip.STALE
            try:
                with deadlines.within(left_s):
                    return await infer()
            except DeadlineExceeded:
                return Skip.STALE
            except (Unavailable, ResourceExhausted):
                # The engine was away, or had too much to do, for as long as the frame was fresh.
                if self._clock() < arrived + self._max_age_s:
                    raise
                return Skip.STALE

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """Yields True in the block's turn, False once a newer frame has taken its place."""
        has_turn = await self._wait()
        try:
            yield has_turn
        finally:
            if has_turn:
                self._pass_on()

    async def _wait(self) -> bool:
        if self._free_count:
            self._free_count -= 1
            return True
        if self._waiting is not None and not self._waiting.cancelled():
            self._waiting.set_result(False)
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        try:
            return await waiting
        except asyncio.CancelledError:
            if self._waiting is waiting:
                self._waiting = None
            elif not waiting.cancelled() and waiting.result():
                self._pass_on()  # it was its turn in the very same moment
            raise

    def _pass_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.cancelled():
            self._free_count += 1
        else:
            waiting.set_result(True)

"""The calls that a server runs, and how they end when it stops.

From the first moment of the end new calls are refused. Those that run have the time of the
drain; then they are told, UNAVAILABLE / SERVER_STOPPING, and end. Streams of requests that stay
open for a next one are told as soon as none is being answered.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shoal_core.errors import Unavailable

_LAST_WORDS_SECONDS = 1.0
"""Time that calls have to clean up after they were told."""


class RunningCall:
    """One call that runs."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self._open_requests: int | None = None
        self._may_end = False
        self.was_told = False
        """Whether it was cancelled because the server stops, not because its caller left."""

    def begin_stream(self) -> None:
        """Says that this call is a stream of requests: at work only while it answers one."""
        self._open_requests = 0

    def begin_request(self) -> None:
        """Says that a request of the stream has come in."""
        assert self._open_requests is not None, "the stream has begun"
        self._open_requests += 1

    def end_request(self) -> None:
        """Says that a request of the stream has been answered."""
        assert self._open_requests is not None, "the stream has begun"
        self._open_requests -= 1
        self._end_if_idle()

    def let_end(self) -> None:
        """Ends the call when it is no longer at work, as far as it says when that is."""
        self._may_end = True
        self._end_if_idle()

    def tell(self) -> None:
        """Ends the call."""
        self.was_told = True
        self._task.cancel()

    def _end_if_idle(self) -> None:
        if self._may_end and self._open_requests == 0 and not self.was_told:
            self.tell()


running_call: ContextVar[RunningCall] = ContextVar("running_call")
"""The call that the current task works for."""


class RunningCalls:
    """All calls that run; used on the event loop only."""

    def __init__(self) -> None:
        self._calls: set[RunningCall] = set()
        self._is_stopping = False
        self._none_runs = asyncio.Event()
        self._none_runs.set()

    def refuse_new(self) -> None:
        """Lets no other call begin."""
        self._is_stopping = True

    @contextmanager
    def running(self) -> Iterator[RunningCall]:
        """Gives the block the call that the current task serves.

        Raises:
            Unavailable: SERVER_STOPPING.
        """
        if self._is_stopping:
            raise stopping()
        task = asyncio.current_task()
        assert task is not None, "calls are served by tasks"
        call = RunningCall(task)
        running_call.set(call)
        self._calls.add(call)
        self._none_runs.clear()
        try:
            yield call
        finally:
            self._calls.discard(call)
            if not self._calls:
                self._none_runs.set()

    async def drain(self, seconds: float) -> None:
        """Returns when no call runs; those that still do after `seconds` are told to end."""
        for call in list(self._calls):
            call.let_end()
        if await self._end_within(seconds):
            return
        for call in list(self._calls):
            call.tell()
        await self._end_within(_LAST_WORDS_SECONDS)

    async def _end_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._none_runs.wait()
        except TimeoutError:
            return False
        return True


def stopping() -> Unavailable:
    """Returns what callers of a server that stops are told."""
    return Unavailable("SERVER_STOPPING", "The service is stopping; try again when it is back.")

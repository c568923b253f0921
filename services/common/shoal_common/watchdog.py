"""Ends a process one of whose threads is stuck in foreign code, where nothing else helps.

A thread inside a codec or an inference runtime cannot be stopped. A process that keeps one goes
on answering and never does its work again; one that ends is started again, and its task given
to another.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

logger = logging.getLogger(__name__)

STUCK_STATUS = 70
"""Exit status of a process that has ended itself."""

_PERIOD_SECONDS = 1.0

Sleep = Callable[[float], Awaitable[None]]


def end_process(message: str) -> NoReturn:
    """Ends this process without waiting for its threads."""
    logger.critical("%s", message)
    os._exit(STUCK_STATUS)


class _Piece:
    """Something that a thread does right now."""

    def __init__(self, what: str, limit_seconds: float) -> None:
        self.what = what
        self.limit_seconds = limit_seconds
        self.seconds = 0.0


class Watchdog:
    """Watches pieces of work on threads; none may last longer than the limit.

    Their time is counted in rounds of its own, so that neither a suspended machine nor a
    stopped process counts as work that is stuck.
    """

    def __init__(
        self,
        *,
        limit_seconds: float,
        end: Callable[[str], object] = end_process,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepares to call `end` with a message about the first piece that lasts too long."""
        self._limit_seconds = limit_seconds
        self._end = end
        self._sleep = sleep
        self._pieces: set[_Piece] = set()
        self._lock = threading.Lock()

    @contextmanager
    def watching(self, what: str, *, limit_seconds: float | None = None) -> Iterator[None]:
        """Watches what the calling thread does within the block.

        Args:
            what: Names it for people.
            limit_seconds: How long it may last; None for the watchdog's own limit.
        """
        piece = _Piece(what, self._limit_seconds if limit_seconds is None else limit_seconds)
        with self._lock:
            self._pieces.add(piece)
        try:
            yield
        finally:
            with self._lock:
                self._pieces.discard(piece)

    async def run(self) -> None:
        """Watches for as long as it runs."""
        while True:
            await self._sleep(_PERIOD_SECONDS)
            for piece in self._aged():
                self._end(
                    f"{piece.what} has not come to an end for {piece.seconds:.0f} s; the process "
                    "ends, to be started again"
                )

    def _aged(self) -> list[_Piece]:
        with self._lock:
            for piece in self._pieces:
                piece.seconds += _PERIOD_SECONDS
            return [piece for piece in self._pieces if piece.seconds > piece.limit_seconds]

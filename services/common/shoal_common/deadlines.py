"""How long an outgoing call may take: its own limit, within what its caller has left.

The deadline of a call that is being answered is kept in the context of its task, so everything
that is done for the caller, in tasks of its own or not, finds it without being handed it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_MARGIN = 0.1
"""Part of the caller's time that is kept for telling why it was not enough."""

_end_s: ContextVar[float | None] = ContextVar("end_s", default=None)
"""Time of the event loop when the caller's patience ends; None: never."""


def begin(remaining_s: float | None) -> None:
    """Notes for the rest of the current task what its caller has left; None means no deadline."""
    _end_s.set(None if remaining_s is None else _now_s() + remaining_s * (1 - _MARGIN))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Gives what is done in the block so long, or what the caller has left if that is less."""
    reset = _end_s.set(_now_s() + timeout_s(seconds))
    try:
        yield
    finally:
        _end_s.reset(reset)


@contextmanager
def lifted() -> Iterator[None]:
    """Does what is in the block whether or not the caller still waits: cleaning up, for example."""
    reset = _end_s.set(None)
    try:
        yield
    finally:
        _end_s.reset(reset)


def timeout_s(most_s: float) -> float:
    """Returns the timeout of an outgoing call that may take `most_s` by itself."""
    end_s = _end_s.get()
    return most_s if end_s is None else max(0.0, min(most_s, end_s - _now_s()))


def _now_s() -> float:
    return asyncio.get_running_loop().time()

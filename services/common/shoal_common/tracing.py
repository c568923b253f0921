"""Trace ids: 32 hexadecimal digits that follow one piece of work through all services.

They travel in W3C `traceparent` metadata. What a server does for a call runs under the call's
trace, or under a new one if it has none; outgoing calls and log lines carry the trace that they
run under. The tasks of a job run under a trace that is derived from its name, so that a worker
that takes a job over, today or after a restart, goes on under the same one.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

METADATA_KEY = "traceparent"

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-.{2}.*")
_current: ContextVar[str | None] = ContextVar("shoal_trace_id", default=None)


def current_trace_id() -> str | None:
    """Returns the trace that this code runs under, if any."""
    return _current.get()


def set_trace_id(trace_id: str) -> None:
    """Lets the rest of this task run under a trace."""
    _current.set(trace_id)


@contextmanager
def traced(trace_id: str) -> Iterator[None]:
    """Lets a block, and the tasks that it begins, run under a trace."""
    token = _current.set(trace_id)
    try:
        yield
    finally:
        _current.reset(token)


def new_trace_id() -> str:
    """Returns a trace that nobody has."""
    return os.urandom(16).hex()


def trace_id_of(name: str) -> str:
    """Returns the trace of everything that is done for a resource, for example a job."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def traceparent(trace_id: str) -> str:
    """Returns the metadata of one call; the middle part names the call."""
    return f"00-{trace_id}-{os.urandom(8).hex()}-01"


def trace_id_from(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Returns the trace that a call came with; None if there is none or it is malformed."""
    for key, value in metadata:
        if key == METADATA_KEY and isinstance(value, str):
            found = _TRACEPARENT.fullmatch(value)
            return None if found is None else found.group(1)
    return None

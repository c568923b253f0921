"""Asking a peer again that restarts, or whose disk is full, without giving up results."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shoal_common.status import typed_errors
from shoal_core.errors import DeadlineExceeded, ResourceExhausted, Unavailable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_RETRY_SECONDS = 0.25
_FULL_DISK_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
"""Time that a peer has to come back, before results are thrown away."""


async def patiently(
    peer: str,
    call: Callable[[], Awaitable[Result]],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Result:
    """Returns what an idempotent call to a peer returns, asking again while nobody answers.

    A full disk is waited for as long as it takes: the results are there, and people make room.

    Raises:
        ShoalError: What the peer said, or last that it is not there.
    """
    now_seconds = asyncio.get_running_loop().time
    end_seconds, is_full = None, False
    while True:
        try:
            with typed_errors(peer):
                return await call()
        except ResourceExhausted as error:
            if error.reason != "DISK_FULL":
                raise
            if not is_full:
                logger.warning("results wait for room: %s", error.message)
            is_full, end_seconds = True, None  # the peer is there
            await asyncio.sleep(_FULL_DISK_SECONDS)
        except (Unavailable, DeadlineExceeded) as error:
            if end_seconds is None:
                end_seconds = now_seconds() + patience_seconds
                logger.warning("asking %s again: %s", peer, error.message)
            elif now_seconds() > end_seconds:
                raise
            await asyncio.sleep(_RETRY_SECONDS)

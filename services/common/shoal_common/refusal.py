"""Refusing what a caller streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from shoal_core.errors import ShoalError

Request = TypeVar("Request")


@asynccontextmanager
async def heard_out(requests: AsyncIterator[Request]) -> AsyncIterator[None]:
    """Takes the rest of a stream where its beginning is refused.

    gRPC tells a caller that is cut off while it sends that sending has failed, not why.

    Args:
        requests: What the caller sends; the block reads it as far as it gets.
    """
    try:
        yield
    except (ShoalError, OSError):
        async for _ in requests:
            pass
        raise

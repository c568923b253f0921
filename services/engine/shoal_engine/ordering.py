"""Answers in the order of the requests, although several are worked on at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")


async def in_order(
    requests: AsyncIterator[Request],
    answer: Callable[[Request], Coroutine[Any, Any, Response]],
    *,
    look_ahead: int,
) -> AsyncIterator[Response]:
    """Yields the answer to each request in turn.

    Args:
        requests: Requests as they come in; none of them is None.
        answer: Answers one request.
        look_ahead: Most requests that are taken in before the first of them is answered.

    Raises:
        Exception: What reading or answering a request raised; the rest is dropped.
    """
    reader = aiter(requests)
    reading: asyncio.Future[Request | None] | None = None
    has_more = True
    answering: deque[asyncio.Task[Response]] = deque()
    try:
        while has_more or answering:
            if has_more and reading is None and len(answering) < look_ahead:
                reading = asyncio.ensure_future(anext(reader, None))
            waited: list[asyncio.Future[Any]] = []
            waited.extend(list(answering)[:1])
            if reading is not None:
                waited.append(reading)
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                request, reading = reading.result(), None
                if request is None:
                    has_more = False
                else:
                    answering.append(asyncio.create_task(answer(request)))
            if answering and answering[0].done():
                yield answering.popleft().result()
    finally:
        for task in answering:
            task.cancel()
        if reading is not None:
            reading.cancel()

"""Answers in the order of the requests, although several are worked on at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


async def in_order(
    requests: AsyncIterator[Request],
    answer: Callable[[Request], Coroutine[Any, Any, Answer]],
    *,
    look_ahead: int,
) -> AsyncGenerator[Answer, None]:
    """Yields the answer to each request in turn; wrap it in `contextlib.aclosing`.

    Nothing that it began is left running when it ends, in whatever way.

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
    answering: deque[asyncio.Future[Answer]] = deque()
    try:
        while has_more or answering:
            if has_more and reading is None and len(answering) < look_ahead:
                reading = asyncio.ensure_future(anext(reader, None))
            waited = [future for future in (reading, *list(answering)[:1]) if future is not None]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                request, reading = reading.result(), None
                if request is None:
                    has_more = False
                else:
                    answering.append(asyncio.ensure_future(answer(request)))
            if answering and answering[0].done():
                yield answering.popleft().result()
    finally:
        left = [future for future in (reading, *answering) if future is not None]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)

import asyncio
from collections.abc import AsyncIterator

import pytest

from shoal_engine.ordering import in_order


async def numbers(count: int, taken: list[int] | None = None) -> AsyncIterator[int]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield number


@pytest.mark.parametrize("look_ahead", [1, 2, 16])
async def test_answers_come_in_the_order_of_requests(look_ahead: int) -> None:
    async def later_first(number: int) -> int:
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return number

    answers = in_order(numbers(20), later_first, look_ahead=look_ahead)
    assert [answer async for answer in answers] == list(range(20))


async def test_no_more_than_the_look_ahead_is_taken_in() -> None:
    taken: list[int] = []
    gate = asyncio.Event()

    async def gated(number: int) -> int:
        await gate.wait()
        return number

    answers = in_order(numbers(9, taken), gated, look_ahead=3)
    first = asyncio.ensure_future(anext(answers))
    for _ in range(50):
        await asyncio.sleep(0)
    assert taken == [0, 1, 2]
    gate.set()
    assert await first == 0
    assert [answer async for answer in answers] == list(range(1, 9))


async def test_what_is_under_way_is_cancelled_when_nobody_listens_any_more() -> None:
    cancelled: list[int] = []

    async def endless(number: int) -> int:
        if number == 0:
            return 0
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    answers = in_order(numbers(3), endless, look_ahead=3)
    assert await anext(answers) == 0
    waiting = asyncio.ensure_future(anext(answers))
    for _ in range(20):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    for _ in range(3):
        await asyncio.sleep(0)
    assert cancelled == [1, 2]


async def test_no_requests_no_answers() -> None:
    async def same(number: int) -> int:
        return number

    assert [answer async for answer in in_order(numbers(0), same, look_ahead=2)] == []

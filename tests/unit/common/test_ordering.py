"""Laws of answers in order: as many as requests, bounded, and nothing left running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_common.ordering import in_order


async def numbers(count: int, *, dice: np.random.Generator | None = None) -> AsyncIterator[int]:
    for number in range(count):
        for _ in range(0 if dice is None else dice.integers(0, 5)):
            await asyncio.sleep(0)
        yield number


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 30), look_ahead=st.integers(1, 6), seed=st.integers(0, 1000))
def test_answers_come_in_the_order_of_requests_and_never_too_many_at_once(
    count: int, look_ahead: int, seed: int
) -> None:
    dice = np.random.default_rng(seed)
    running, most = 0, 0

    async def answer(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(dice.integers(0, 10)):
            await asyncio.sleep(0)
        running -= 1
        return number * 10

    async def law() -> None:
        requests = numbers(count, dice=dice)
        async with aclosing(in_order(requests, answer, look_ahead=look_ahead)) as answers:
            assert [got async for got in answers] == [10 * number for number in range(count)]

    asyncio.run(law())
    assert most <= look_ahead


async def test_answer_comes_without_waiting_for_the_next_request() -> None:
    async def one_and_silence() -> AsyncIterator[int]:
        yield 7
        await asyncio.Event().wait()

    async def answer(number: int) -> int:
        return number

    async with (
        asyncio.timeout(20),
        aclosing(in_order(one_and_silence(), answer, look_ahead=4)) as answers,
    ):
        assert await anext(answers) == 7


@pytest.mark.parametrize("taken", [0, 1, 3])
async def test_leaving_early_ends_everything_that_was_begun(taken: int) -> None:
    before = asyncio.all_tasks()
    cleaned: list[int] = []

    async def answer(number: int) -> int:
        if number < taken:
            return number
        try:
            return await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(number)

    async with aclosing(in_order(numbers(10), answer, look_ahead=3)) as answers:
        for _ in range(taken):
            await anext(answers)
        waiting = asyncio.create_task(anext(answers))
        for _ in range(20):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert cleaned == [taken, taken + 1, taken + 2]
    assert asyncio.all_tasks() == before


async def test_answer_that_fails_ends_the_rest_and_surfaces() -> None:
    before = asyncio.all_tasks()

    async def answer(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    async with aclosing(in_order(numbers(10), answer, look_ahead=3)) as answers:
        assert [await anext(answers), await anext(answers)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            await anext(answers)
    assert asyncio.all_tasks() == before

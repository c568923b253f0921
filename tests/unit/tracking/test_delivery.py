"""Which frames of a session are processed when they come too fast."""

import asyncio

import numpy as np
import pytest

from shoal_common import deadlines
from shoal_core.errors import DeadlineExceeded, InvalidArgument, ShoalError, Unavailable
from shoal_core.pose import FramePoses
from shoal_tracking.delivery import Delivery, EveryFrame, LatestFrame, Skip
from shoal_tracking.inference import TimedPoses

Outcome = TimedPoses | Skip


class Frames:
    """Frames whose inference ends when it is told to."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.begun: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def arrive(self, index: int) -> asyncio.Task[Outcome]:
        async def infer() -> TimedPoses:
            self.begun.append(index)
            gate = self.gates[index] = asyncio.Event()
            await gate.wait()
            empty = np.zeros((0, 1, 2), np.float32)
            return TimedPoses(FramePoses.untracked(index, empty, empty[..., 0], empty[:, 0, 0]))

        task = asyncio.create_task(self._delivery.deliver(self.now, infer))
        await settle()
        return task

    async def finish(self, index: int) -> None:
        self.gates[index].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def clock() -> float:
    return 0.0


def index(outcome: Outcome) -> int:
    assert isinstance(outcome, TimedPoses)
    return outcome.poses.frame_index


@pytest.mark.parametrize("in_flight", [1, 2, 3])
async def test_only_the_newest_of_the_waiting_frames_has_its_turn(in_flight: int) -> None:
    frames = Frames(LatestFrame(in_flight, max_age_s=None, clock=clock))
    tasks = [await frames.arrive(number) for number in range(in_flight + 4)]
    assert frames.begun == list(range(in_flight))
    replaced = tasks[in_flight:-1]
    assert [await task for task in replaced] == [Skip.REPLACED] * 3
    await frames.finish(0)
    newest = in_flight + 3
    assert frames.begun == [*range(in_flight), newest]
    for number in (*range(1, in_flight), newest):
        await frames.finish(number)
        assert index(await tasks[number]) == number


async def test_frames_that_come_slowly_are_all_processed() -> None:
    frames = Frames(LatestFrame(1, max_age_s=None, clock=clock))
    for number in range(5):
        task = await frames.arrive(number)
        await frames.finish(number)
        assert index(await task) == number


async def test_every_frame_of_a_session_that_drops_nothing_is_begun() -> None:
    frames = Frames(EveryFrame(2))
    tasks = [await frames.arrive(number) for number in range(4)]
    assert frames.begun == [0, 1, 2, 3]
    for number, task in enumerate(tasks):
        await frames.finish(number)
        assert index(await task) == number


async def test_frame_that_has_become_too_old_while_it_waited_is_not_begun() -> None:
    now = [0.0]
    frames = Frames(LatestFrame(1, max_age_s=0.1, clock=lambda: now[0]))
    first, second = await frames.arrive(0), await frames.arrive(1)
    now[0] = 0.1
    await frames.finish(0)
    assert index(await first) == 0
    assert await second is Skip.STALE
    assert frames.begun == [0]


async def test_what_is_asked_for_a_frame_may_take_no_longer_than_it_stays_fresh() -> None:
    now = [5.0]
    delivery = LatestFrame(1, max_age_s=2.0, clock=lambda: now[0])
    timeouts_s: list[float] = []

    async def infer() -> TimedPoses:
        timeouts_s.append(deadlines.timeout_s(100.0))
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "Too slow.")

    assert await delivery.deliver(4.0, infer) is Skip.STALE
    assert 0.5 < timeouts_s[0] <= 1.0
    assert deadlines.timeout_s(100.0) == 100.0


@pytest.mark.parametrize(
    ("error", "took_s", "is_stale"),
    [
        (Unavailable("GONE", "Away."), 0.2, True),
        (Unavailable("GONE", "Away."), 0.05, False),
        (InvalidArgument("BAD", "Bad."), 0.2, False),
    ],
)
async def test_engine_that_was_away_until_a_frame_was_old_makes_it_stale_and_nothing_else_does(
    error: ShoalError, took_s: float, is_stale: bool
) -> None:
    now = [0.0]
    delivery = LatestFrame(1, max_age_s=0.1, clock=lambda: now[0])

    async def infer() -> TimedPoses:
        now[0] += took_s
        raise error

    if is_stale:
        assert await delivery.deliver(0.0, infer) is Skip.STALE
    else:
        with pytest.raises(type(error)):
            await delivery.deliver(0.0, infer)


@pytest.mark.parametrize("granted", [False, True])
async def test_frame_that_is_cancelled_while_it_waits_takes_no_turn_with_it(granted: bool) -> None:
    frames = Frames(LatestFrame(1, max_age_s=None, clock=clock))
    first, second = await frames.arrive(0), await frames.arrive(1)
    if granted:
        frames.gates[0].set()
        await first  # the turn is handed over; the second task has not run yet
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    if not granted:
        await frames.finish(0)
    third = await frames.arrive(2)
    assert frames.begun[-1] == 2
    await frames.finish(2)
    assert index(await third) == 2


@pytest.mark.parametrize("waiting_first", [False, True])
async def test_frames_that_are_cancelled_together_take_no_turn_with_them(
    waiting_first: bool,
) -> None:
    frames = Frames(LatestFrame(1, max_age_s=None, clock=clock))
    cancelled = [await frames.arrive(0), await frames.arrive(1)]
    if waiting_first:
        cancelled.reverse()
    for task in cancelled:
        task.cancel()
    ends = await asyncio.gather(*cancelled, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    third = await frames.arrive(2)
    await frames.finish(2)
    assert index(await third) == 2


async def test_inference_that_fails_gives_its_turn_on() -> None:
    delivery = LatestFrame(1, max_age_s=None, clock=clock)

    async def infer() -> TimedPoses:
        raise InvalidArgument("BAD", "Bad.")

    for _ in range(3):
        with pytest.raises(InvalidArgument):
            await delivery.deliver(0.0, infer)

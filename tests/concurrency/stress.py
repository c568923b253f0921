"""Sessions that begin and end at random moments, beside jobs that are created and cancelled."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_client import JobState, WindowTracker
from shoal_common.channel import open_channel
from tests.concurrency.ensemble import MODELS, Ensemble, Holding, grown, settled_regions
from tests.concurrency.sessions import Plan, Recordings, digest, run_session

FRAME_COUNT = 4
AT_ONCE = 24
ROUND_SECONDS = 500.0
ROUND_COUNT = 4
MOST_GROWTH = 1.25
"""Of the memory of a process, from the most after the first rounds to the least after the last."""

Items = list[pb.TrackFramesRequest]
Leave = Callable[[grpc.aio.Channel, Plan, Items, random.Random], Coroutine[Any, Any, None]]


async def whole(channel: grpc.aio.Channel, plan: Plan, items: Items, _: random.Random) -> None:
    """Asks everything and reads everything."""
    assert len(await run_session(channel, plan, items)) == len(items)


async def cancel_at_once(
    channel: grpc.aio.Channel, plan: Plan, items: Items, _: random.Random
) -> None:
    """Leaves before the session has opened."""
    call = pb_grpc.TrackingServiceStub(channel).TrackFrames()
    await call.write(plan.config)
    call.cancel()


async def cancel_later(
    channel: grpc.aio.Channel, plan: Plan, items: Items, source: random.Random
) -> None:
    """Leaves after some answers, with frames under way."""
    call = pb_grpc.TrackingServiceStub(channel).TrackFrames()
    for item in (plan.config, *items):
        await call.write(item)
    for _ in range(source.randrange(len(items))):
        await call.read()
    call.cancel()


async def end_at_once(
    channel: grpc.aio.Channel, plan: Plan, items: Items, _: random.Random
) -> None:
    """Ends in good order without having asked anything."""
    assert await run_session(channel, plan, []) == []


async def deadline(
    channel: grpc.aio.Channel, plan: Plan, items: Items, source: random.Random
) -> None:
    """Has less time than it needs, perhaps."""
    try:
        await run_session(channel, plan, items, timeout_s=source.uniform(0.01, 1.0))
    except grpc.aio.AioRpcError as error:
        # gRPC's own client says so of a message that it sends while the call is ending.
        is_own = error.details() == "Internal error from Core"
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED and not is_own:
            raise


LEAVES: tuple[Leave, ...] = (whole, cancel_at_once, cancel_later, end_at_once, deadline)


async def stress(
    ensemble: Ensemble, data: Path, *, session_count: int, job_count: int, seed: int
) -> list[str]:
    """Returns complaints about a storm of sessions and jobs, in rounds that are compared."""
    source, recordings = random.Random(seed), Recordings(data)
    planned = [
        Plan(model, range(FRAME_COUNT), way, is_tracked=True)
        for model in MODELS
        for way in ("inline", "png", "ref")
    ]
    storm = [(plan, recordings.requests(plan)) for plan in planned]
    probe = storm[0]
    async with open_channel(ensemble.tracking_target) as channel:
        expected = digest(await run_session(channel, *probe))
    rounds = []
    complaints: list[str] = []
    for number in range(ROUND_COUNT):
        async with asyncio.timeout(ROUND_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(_sessions(ensemble, storm, session_count // ROUND_COUNT, source))
            tasks.create_task(
                _jobs(ensemble, recordings, job_count // ROUND_COUNT, f"storm-{number}", source)
            )
        complaints += [f"left: {name}" for name in await settled_regions(ensemble)]
        rounds.append(ensemble.holdings())
    async with open_channel(ensemble.tracking_target) as channel:
        if digest(await run_session(channel, *probe)) != expected:
            complaints.append("a session after the storm differs from the one before")
    return complaints + grown(rounds[0], rounds[-1]) + _swollen(rounds)


def _swollen(rounds: list[dict[str, Holding]]) -> list[str]:
    complaints = []
    for name in rounds[0]:
        memory_mib = [holdings[name].memory_mib for holdings in rounds]
        half = len(rounds) // 2
        if min(memory_mib[half:]) > max(memory_mib[:half]) * MOST_GROWTH:
            complaints.append(f"{name} grows: {', '.join(f'{m:.0f}' for m in memory_mib)} MiB")
    return complaints


async def _sessions(
    ensemble: Ensemble, storm: list[tuple[Plan, Items]], count: int, source: random.Random
) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    left: Counter[str] = Counter()

    async def one() -> None:
        (plan, items), leave = source.choice(storm), source.choice(LEAVES)
        async with room, open_channel(ensemble.tracking_target) as channel:
            await leave(channel, plan, items, source)
            left[leave.__name__] += 1
        # The channel is closed here: whatever was under way on it has lost its client.

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
    assert left.total() == count


async def _jobs(
    ensemble: Ensemble, recordings: Recordings, count: int, project: str, source: random.Random
) -> None:
    shoal = ensemble.client(project)

    def one(number: int, patience: int) -> JobState:
        model = list(MODELS)[number % len(MODELS)]
        created = shoal.jobs.create_track(
            str(recordings.path(model)),
            f"models/{model}",
            frames=range(number, number + 64),
            tracker=WindowTracker(),
        )
        states = shoal.jobs.watch(created.name)
        for _ in range(patience):
            if next(states).state.has_ended:
                return next(iter(shoal.jobs.watch(created.name))).state
        shoal.jobs.cancel(created.name)
        *_, ended = states
        return ended.state

    for number in range(count):
        state = await asyncio.to_thread(one, number, source.randrange(4))
        assert state in (JobState.CANCELLED, JobState.SUCCEEDED), state

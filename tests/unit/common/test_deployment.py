"""Laws of a deployment: it follows serving, survives restarts, and gives up in time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from pytest_asyncio import fixture as async_fixture

from shoal_common import deadlines
from shoal_common.channel import open_channel
from shoal_common.inference.client import SharedFrames
from shoal_common.inference.deployment import Deployment, _RequestLimit
from shoal_common.shm import FrameRing
from shoal_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ShoalError,
    Unavailable,
)
from tests.fakes.clock import FakeClock
from tests.fakes.pose_engine import FakePoseEngine, contract
from tests.fakes.watched_deployments import FakeDeployments

NAME = "models/fly"
FRAMES = np.zeros((1, 4, 4, 1), np.uint8)
PATIENCE_SECONDS = 30.0
RETRY_SECONDS = 0.25


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@async_fixture
async def deployment(serving: FakeDeployments, clock: FakeClock) -> AsyncIterator[Deployment]:
    async with open_channel(serving.target) as channel:
        deployment = Deployment(channel, NAME, sleep=clock.sleep)
        yield deployment
        await deployment.aclose()


async def passing(clock: FakeClock) -> None:
    """Lets time pass, one retry after the other."""
    while True:
        await clock.until_someone_sleeps(RETRY_SECONDS)
        clock.advance(RETRY_SECONDS)
        await asyncio.sleep(0)


async def test_contract_comes_with_the_answer(
    deployment: Deployment, serving: FakeDeployments, engine: FakePoseEngine
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    got, outputs = await deployment.infer({"images": FRAMES})
    assert got == contract()
    assert outputs["instance_counts"].tolist() == [1]


@pytest.mark.parametrize(
    "refusal",
    [
        NotFound("MODEL_NOT_FOUND", "There is no fly."),
        FailedPrecondition("MODEL_LOAD_FAILED", "It is damaged."),
    ],
)
async def test_refusal_surfaces_at_once_and_is_asked_for_anew(
    deployment: Deployment, serving: FakeDeployments, engine: FakePoseEngine, refusal: ShoalError
) -> None:
    serving.refusal = refusal
    for _ in range(2):
        with pytest.raises(type(refusal)) as caught:
            await deployment.infer({"images": FRAMES})
        assert caught.value.reason == refusal.reason
    serving.refusal = None
    await serving.deploy(NAME, engine.target, contract())
    assert (await deployment.current()).contract == contract()


async def test_everybody_who_waits_hears_the_refusal(
    deployment: Deployment, serving: FakeDeployments
) -> None:
    heard = await asyncio.gather(*(deployment.current() for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in heard] == [NotFound] * 5
    assert serving.watch_count <= 1


def test_requests_have_time_that_grows_with_the_slowest() -> None:
    limit = _RequestLimit()
    assert limit.seconds == 600.0
    for seconds, expected in ((0.1, 120.0), (60.0, 1200.0), (0.1, 1200.0)):
        limit.note(seconds)
        assert limit.seconds == expected


async def test_contract_of_a_newer_shoal_surfaces(
    deployment: Deployment, serving: FakeDeployments, engine: FakePoseEngine
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    serving._deployed[NAME].version.pose_contract_json = "{}"
    with pytest.raises(InvalidArgument, match="contract"):
        await deployment.current()


async def test_model_that_nobody_serves_is_waited_for_only_so_long(
    deployment: Deployment, serving: FakeDeployments, clock: FakeClock
) -> None:
    serving.is_silent = True
    asking = asyncio.create_task(deployment.current())
    await clock.until_someone_sleeps(PATIENCE_SECONDS)
    clock.advance(PATIENCE_SECONDS - 0.1)
    await serving.until_watch_count(1)
    assert not asking.done()
    clock.advance(0.1)
    with pytest.raises(Unavailable) as caught:
        await asking
    assert caught.value.reason == "ENGINE_UNAVAILABLE"


async def test_model_that_nobody_serves_is_waited_for_no_longer_than_the_caller_can(
    deployment: Deployment, serving: FakeDeployments, clock: FakeClock
) -> None:
    serving.is_silent = True
    with deadlines.within(PATIENCE_SECONDS / 2):
        asking = asyncio.create_task(deployment.current())
    await serving.until_watch_count(1)
    clock.advance(PATIENCE_SECONDS / 2)
    with pytest.raises(DeadlineExceeded) as caught:
        await asking
    assert caught.value.reason == "ENGINE_UNAVAILABLE"


async def test_requests_follow_a_deployment_that_moves(
    deployment: Deployment,
    serving: FakeDeployments,
    engine: FakePoseEngine,
    clock: FakeClock,
    tmp_path: Path,
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    await deployment.infer({"images": FRAMES})
    other = FakePoseEngine(f"unix:{tmp_path}/e2")
    await other.start()
    await engine.stop()
    asking = asyncio.create_task(deployment.infer({"images": FRAMES}))
    await clock.until_someone_sleeps(RETRY_SECONDS)
    await serving.deploy(NAME, other.target, contract())
    async with asyncio.timeout(20):
        time = asyncio.create_task(passing(clock))
        await asking
        time.cancel()
    assert len(other.requests) == 1
    await other.stop()


async def test_shared_frames_reach_an_engine_that_restarts(
    deployment: Deployment, serving: FakeDeployments, engine: FakePoseEngine, clock: FakeClock
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    ring = FrameRing.create(2, 16)
    slots = ring.acquire(1)
    ring.view(slots, (4, 4, 1))[:] = 7
    images = SharedFrames(ring, slots, (1, 4, 4, 1))
    _, before = await deployment.infer({"images": images})
    await engine.stop()
    asking = asyncio.create_task(deployment.infer({"images": images}))
    await clock.until_someone_sleeps(RETRY_SECONDS)
    await engine.start()
    async with open_channel(engine.target) as channel, asyncio.timeout(20):
        await channel.channel_ready()  # the same connection, which backs off in real time
        time = asyncio.create_task(passing(clock))
        _, after = await asking
        time.cancel()
    np.testing.assert_array_equal(before["instance_peaks"], after["instance_peaks"])
    await deployment.forget(ring)
    ring.close()
    assert not engine.registered


@pytest.mark.parametrize(
    "said",
    [
        Unavailable("QUEUE_FULL", "64 requests are waiting."),
        NotFound("MODEL_NOT_READY", "Not loaded."),
        Unavailable("MODEL_NOT_READY", "Loading."),
    ],
)
async def test_trouble_that_may_pass_is_waited_out(
    deployment: Deployment,
    serving: FakeDeployments,
    engine: FakePoseEngine,
    clock: FakeClock,
    said: ShoalError,
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    engine.failures += [said] * 3
    time = asyncio.create_task(passing(clock))
    await deployment.infer({"images": FRAMES})
    time.cancel()
    assert clock.monotonic_seconds() == pytest.approx(3 * RETRY_SECONDS)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Unavailable("QUEUE_FULL", "64 requests are waiting."), ResourceExhausted),
        (NotFound("MODEL_NOT_READY", "Not loaded."), NotFound),
    ],
)
async def test_trouble_that_does_not_pass_surfaces_when_patience_ends(
    deployment: Deployment,
    serving: FakeDeployments,
    engine: FakePoseEngine,
    clock: FakeClock,
    said: ShoalError,
    expected: type[ShoalError],
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    engine.refusal = said
    time = asyncio.create_task(passing(clock))
    with pytest.raises(expected):
        await deployment.infer({"images": FRAMES})
    time.cancel()
    assert clock.monotonic_seconds() == pytest.approx(PATIENCE_SECONDS, abs=2 * RETRY_SECONDS)


@pytest.mark.parametrize(
    "said",
    [
        InvalidArgument("INPUT_MISSING", "No centroids."),
        ResourceExhausted("MEMORY_FULL", "It does not fit."),
    ],
)
async def test_trouble_that_stays_surfaces_at_once(
    deployment: Deployment, serving: FakeDeployments, engine: FakePoseEngine, said: ShoalError
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    engine.refusal = said
    with pytest.raises(type(said)) as caught:
        await deployment.infer({"images": FRAMES})
    assert caught.value.reason == said.reason


async def test_closed_deployment_is_not_watched(
    deployment: Deployment, serving: FakeDeployments, engine: FakePoseEngine
) -> None:
    await serving.deploy(NAME, engine.target, contract())
    await deployment.current()
    await serving.until_watch_count(1)
    await deployment.aclose()
    await serving.until_watch_count(0)

"""Many sessions and jobs at once: nothing differs, nothing hangs, nothing is left."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_client import JobState
from shoal_common.channel import open_channel
from tests.concurrency.engine_loss import kill_engine_under_load
from tests.concurrency.ensemble import Ensemble, running_ensemble, settled_regions
from tests.concurrency.sessions import Plan, Recordings, digest, run_session
from tests.concurrency.stress import stress
from tests.concurrency.together import compare

MODEL = "flies-id"
Leave = Callable[[Ensemble, Recordings], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Ensemble]:
    with running_ensemble(tmp_path_factory.mktemp("c"), shared_data / "models") as ensemble:
        yield ensemble


async def cancel_job(ensemble: Ensemble, recordings: Recordings) -> None:
    """Cancels a job that has inferred some frames and is about to infer a thousand more."""
    shoal = ensemble.client("cancelled")

    def run() -> None:
        created = shoal.jobs.create_track(
            str(recordings.path(MODEL)), f"models/{MODEL}", frames=range(1200)
        )
        states = shoal.jobs.watch(created.name)
        while next(states).progress.inferred_frame_count == 0:
            pass
        shoal.jobs.cancel(created.name)
        *_, ended = states
        assert ended.state is JobState.CANCELLED

    await asyncio.to_thread(run)


async def cancel_session(ensemble: Ensemble, recordings: Recordings) -> None:
    """Leaves a session after its first answer, with frames under way."""
    plan = Plan(MODEL, range(12), "ref", is_tracked=False)
    async with open_channel(ensemble.tracking_target) as channel:
        call = pb_grpc.TrackingServiceStub(channel).TrackFrames()
        for item in (plan.config, *recordings.requests(plan)):
            await call.write(item)
        assert (await call.read()).WhichOneof("result") == "poses"
        call.cancel()


async def test_sessions_and_jobs_together_give_what_each_gives_alone(
    ensemble: Ensemble, shared_data: Path
) -> None:
    report = await compare(
        ensemble, shared_data, session_count=4, frame_count=5, job_frame_count=20
    )
    assert report.complaints == []
    assert report.instance_count > 20


async def test_sessions_and_jobs_that_end_at_random_moments_leave_nothing(
    ensemble: Ensemble, shared_data: Path
) -> None:
    assert await stress(ensemble, shared_data, session_count=24, job_count=4, seed=1) == []


async def test_sessions_go_on_when_the_engine_is_killed_and_account_for_every_frame(
    ensemble: Ensemble, shared_data: Path
) -> None:
    complaints, became = await kill_engine_under_load(
        ensemble, shared_data, live_count=2, recording_count=1, frame_count=12
    )
    assert complaints == []
    assert all(counts["SKIP_REASON_STALE"] and counts["poses"] for counts in became)


@pytest.mark.parametrize("leave", [cancel_job, cancel_session])
async def test_work_that_was_cancelled_costs_the_engine_nothing_more(
    ensemble: Ensemble, shared_data: Path, leave: Leave
) -> None:
    recordings = Recordings(shared_data)
    await leave(ensemble, recordings)
    assert await settled_regions(ensemble) == []
    before = await asyncio.to_thread(ensemble.asked, MODEL)
    assert before[1] > 0, "nothing was under way when it was cancelled"
    other = Plan("robot", range(8), "png", is_tracked=True)
    async with open_channel(ensemble.tracking_target) as channel:
        digest(await run_session(channel, other, recordings.requests(other)))
    assert await asyncio.to_thread(ensemble.asked, MODEL) == before


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_sixteen_sessions_and_two_jobs_give_what_each_gives_alone(
    ensemble: Ensemble, shared_data: Path
) -> None:
    report = await compare(
        ensemble, shared_data, session_count=16, frame_count=24, job_frame_count=96
    )
    assert report.complaints == []
    assert report.instance_count > 16 * 24


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3])
async def test_two_hundred_sessions_beside_jobs_leave_nothing(
    ensemble: Ensemble, shared_data: Path, seed: int
) -> None:
    assert await stress(ensemble, shared_data, session_count=200, job_count=12, seed=seed) == []

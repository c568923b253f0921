"""Many sessions and jobs at once: nothing differs, nothing hangs, nothing is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.concurrency.engine_loss import kill_engine_under_load
from tests.concurrency.ensemble import Ensemble, running_ensemble
from tests.concurrency.stress import stress
from tests.concurrency.together import compare


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Ensemble]:
    with running_ensemble(tmp_path_factory.mktemp("c"), shared_data / "models") as ensemble:
        yield ensemble


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
    assert await stress(ensemble, shared_data, session_count=24, job_count=2, seed=1) == []


async def test_sessions_go_on_when_the_engine_is_killed_and_account_for_every_frame(
    ensemble: Ensemble, shared_data: Path
) -> None:
    complaints, became = await kill_engine_under_load(
        ensemble, shared_data, live_count=2, recording_count=1, frame_count=12
    )
    assert complaints == []
    assert all(counts["SKIP_REASON_STALE"] and counts["poses"] for counts in became)


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

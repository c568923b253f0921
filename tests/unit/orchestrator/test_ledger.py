"""Laws of the ledger: who holds a task, how jobs end."""

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal_core.errors import (
    Aborted,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import Count, FrameSpan, LeasedTask, TaskKey, TaskKind
from shoal_orchestrator.schema import sqlite_url
from shoal_orchestrator.states import JobState
from tests.fakes.clock import START_US, FakeClock
from tests.fakes.ledger_jobs import (
    SEGMENT_FRAME_COUNT,
    check_consistent,
    check_step,
    new_job,
    stored,
)

DONE = Count(frames=SEGMENT_FRAME_COUNT, instances=15)
FLY = "projects/lab/jobs/fly"
LOST = Unavailable("WORKER_LOST", "Lost.")
AWAY = Unavailable("ENGINE_UNAVAILABLE", "The engine is away.")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(sqlite_url(tmp_path / "ledger.db"), clock=clock, max_attempts=3)
    yield ledger
    await ledger.close()


async def leased(ledger: Ledger) -> LeasedTask:
    task = await ledger.lease("worker")
    assert task is not None
    return task


async def test_tasks_come_oldest_job_first_in_segment_order_and_linking_last(
    ledger: Ledger,
) -> None:
    await ledger.submit(new_job("old"))
    await ledger.submit(new_job("new"))
    order = []
    while task := await ledger.lease("worker"):
        order.append((task.key.job.rsplit("/", 1)[-1], task.kind, task.span))
        await ledger.complete(task.key, task.fencing_token, DONE)
    assert order == [
        (job, kind, span)
        for job in ("old", "new")
        for kind, span in [
            (TaskKind.INFER_SEGMENT, FrameSpan(0, 10)),
            (TaskKind.INFER_SEGMENT, FrameSpan(10, 20)),
            (TaskKind.LINK, FrameSpan(0, 20)),
        ]
    ]


async def test_linking_waits_for_segments_in_other_hands(ledger: Ledger) -> None:
    await ledger.submit(new_job(segment_count=2))
    first, second = await leased(ledger), await leased(ledger)
    await ledger.complete(second.key, second.fencing_token, DONE)
    assert await ledger.lease("worker") is None
    await ledger.complete(first.key, first.fencing_token, DONE)
    assert (await leased(ledger)).kind is TaskKind.LINK


async def test_job_succeeds_with_its_last_task(ledger: Ledger, clock: FakeClock) -> None:
    assert (await ledger.submit(new_job())).state is JobState.PENDING
    states = []
    for _ in range(3):
        task = await leased(ledger)
        states.append((await ledger.job(FLY)).state)
        clock.advance(1)
        await ledger.complete(task.key, task.fencing_token, DONE)
    job = await ledger.job(FLY)
    assert states == [JobState.RUNNING] * 3
    assert job.state is JobState.SUCCEEDED
    assert (job.create_time_us, job.end_time_us) == (START_US, START_US + 3_000_000)
    assert job.progress.first_frame_time_us == START_US + 1_000_000
    assert job.progress.committed_frame_count == job.progress.total_frame_count == 20
    assert job.progress.linked_frame_count == 10
    assert job.progress.instance_count == 30


@pytest.mark.parametrize("ending", ["fail", "expire"])
async def test_token_grows_with_every_lease(ledger: Ledger, ending: str) -> None:
    await ledger.submit(new_job(segment_count=1))
    tokens = []
    for _ in range(3):
        task = await leased(ledger)
        tokens.append(task.fencing_token)
        if ending == "fail":
            await ledger.fail(task.key, task.fencing_token, AWAY)
        else:
            await ledger.expire(task.key, task.fencing_token, counts=True, exhausted=LOST)
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("attempts_before", [1, 2, 3])
async def test_third_attempt_is_the_last(ledger: Ledger, attempts_before: int) -> None:
    await ledger.submit(new_job())
    for number in range(attempts_before):
        task = await leased(ledger)
        error = Unavailable("ENGINE_UNAVAILABLE", f"Away, time {number}.", engine=number)
        await ledger.fail(task.key, task.fencing_token, error)
    job = await ledger.job(FLY)
    assert (job.state is JobState.FAILED) == (attempts_before == 3)
    if job.error is not None:
        assert job.error.message == "Away, time 2."
        assert job.error.metadata == {"engine": "2"}


async def test_permanent_error_fails_the_job_at_once(ledger: Ledger) -> None:
    await ledger.submit(new_job())
    task, other = await leased(ledger), await leased(ledger)
    error = InvalidArgument("VIDEO_UNREADABLE", "It is broken.")
    error.metadata |= {"reason": "keys of workers", "message": "may be anything"}
    await ledger.fail(task.key, task.fencing_token, error)
    job = await ledger.job(FLY)
    assert job.state is JobState.FAILED
    assert isinstance(job.error, InvalidArgument)
    assert job.error.reason == "VIDEO_UNREADABLE"
    assert job.error.metadata["message"] == "may be anything"
    with pytest.raises(Aborted):
        await ledger.complete(other.key, other.fencing_token, DONE)


async def test_worker_that_dies_on_every_attempt_fails_the_job(ledger: Ledger) -> None:
    await ledger.submit(new_job())
    for _ in range(3):
        task = await leased(ledger)
        await ledger.expire(task.key, task.fencing_token, counts=True, exhausted=LOST)
    job = await ledger.job(FLY)
    assert (job.state, job.error and job.error.reason) == (JobState.FAILED, "WORKER_LOST")


async def test_leases_that_do_not_count_never_exhaust_a_task(ledger: Ledger) -> None:
    await ledger.submit(new_job())
    states = []
    for counts in [False] * 10 + [True] * 2 + [False] * 10 + [True]:
        task = await leased(ledger)
        await ledger.expire(task.key, task.fencing_token, counts=counts, exhausted=LOST)
        states.append((await ledger.job(FLY)).state)
    assert states == [JobState.RUNNING] * 22 + [JobState.FAILED]


async def test_expired_lease_can_be_taken_up_until_somebody_else_has_it(ledger: Ledger) -> None:
    await ledger.submit(new_job(segment_count=1))
    task = await leased(ledger)
    key, token = task.key, task.fencing_token
    await ledger.expire(key, token, counts=True, exhausted=LOST)
    assert (await ledger.reclaim(key, token)).fencing_token == token
    await ledger.expire(key, token, counts=True, exhausted=LOST)
    await leased(ledger)
    with pytest.raises(Aborted):
        await ledger.reclaim(key, token)


async def test_expired_work_that_is_done_counts_if_nobody_else_has_begun(ledger: Ledger) -> None:
    await ledger.submit(new_job(segment_count=1, linked=False))
    task = await leased(ledger)
    await ledger.expire(task.key, task.fencing_token, counts=True, exhausted=LOST)
    await ledger.complete(task.key, task.fencing_token, DONE)
    assert (await ledger.job(FLY)).state is JobState.SUCCEEDED


async def test_completing_twice_is_completing_once(ledger: Ledger) -> None:
    await ledger.submit(new_job())
    task = await leased(ledger)
    await ledger.complete(task.key, task.fencing_token, DONE)
    await ledger.complete(task.key, task.fencing_token, DONE)
    assert (await ledger.job(FLY)).progress.committed_frame_count == 10


async def cancelled(ledger: Ledger, _lost: LeasedTask, _other: LeasedTask) -> None:
    await ledger.cancel(FLY)


async def queued_again(ledger: Ledger, _lost: LeasedTask, _other: LeasedTask) -> None:
    await ledger.cancel(FLY)
    await ledger.submit(new_job())


async def running_again(ledger: Ledger, lost: LeasedTask, other: LeasedTask) -> None:
    await queued_again(ledger, lost, other)
    assert (await leased(ledger)).key == other.key


async def running_again_after_expiry(ledger: Ledger, lost: LeasedTask, other: LeasedTask) -> None:
    await ledger.expire(lost.key, lost.fencing_token, counts=True, exhausted=LOST)
    await running_again(ledger, lost, other)


async def given_back(ledger: Ledger, lost: LeasedTask, _other: LeasedTask) -> None:
    await ledger.fail(lost.key, lost.fencing_token, AWAY)


async def given_away(ledger: Ledger, lost: LeasedTask, _other: LeasedTask) -> None:
    await ledger.expire(lost.key, lost.fencing_token, counts=True, exhausted=LOST)
    assert (await leased(ledger)).key == lost.key


async def job_failed(ledger: Ledger, _lost: LeasedTask, other: LeasedTask) -> None:
    await ledger.fail(other.key, other.fencing_token, NotFound("VIDEO_NOT_FOUND", "Gone."))


async def failed_itself(ledger: Ledger, lost: LeasedTask, _other: LeasedTask) -> None:
    await ledger.fail(lost.key, lost.fencing_token, NotFound("VIDEO_NOT_FOUND", "Gone."))


CALLS = {"reclaim": (), "complete": (DONE,), "fail": (AWAY,)}


@pytest.mark.parametrize(
    "loss",
    [
        cancelled,
        queued_again,
        running_again,
        running_again_after_expiry,
        given_back,
        given_away,
        job_failed,
        failed_itself,
    ],
)
@pytest.mark.parametrize("call", CALLS)
async def test_worker_that_lost_its_task_is_told(ledger: Ledger, loss, call: str) -> None:
    await ledger.submit(new_job())
    other, lost = await leased(ledger), await leased(ledger)
    await loss(ledger, lost, other)
    with pytest.raises(Aborted) as caught:
        await getattr(ledger, call)(lost.key, lost.fencing_token, *CALLS[call])
    assert caught.value.reason == "LEASE_LOST"


@pytest.mark.parametrize("call", CALLS)
async def test_task_that_nobody_leased_is_nobodys(ledger: Ledger, call: str) -> None:
    await ledger.submit(new_job())
    await leased(ledger)
    with pytest.raises(Aborted):
        await getattr(ledger, call)(TaskKey(FLY, 1), 0, *CALLS[call])


@pytest.mark.parametrize("end", ["cancel", "fail"])
async def test_job_queued_again_keeps_its_complete_segments(ledger: Ledger, end: str) -> None:
    await ledger.submit(new_job())
    done, task = await leased(ledger), await leased(ledger)
    await ledger.complete(done.key, done.fencing_token, DONE)
    if end == "cancel":
        await ledger.cancel(FLY)
    else:
        await ledger.fail(task.key, task.fencing_token, NotFound("VIDEO_NOT_FOUND", "Gone."))
    ended = await ledger.job(FLY)
    again = await ledger.submit(new_job())
    assert ended.state.ended
    assert (again.state, again.end_time_us, again.error) == (JobState.PENDING, None, None)
    assert again.create_time_us == ended.create_time_us
    assert again.progress.committed_frame_count == 10
    resumed = await leased(ledger)
    assert (resumed.key, resumed.attempt_count) == (task.key, 1)
    assert resumed.fencing_token > task.fencing_token


async def test_succeeded_job_is_returned_as_it_is(ledger: Ledger, clock: FakeClock) -> None:
    await ledger.submit(new_job(segment_count=1, linked=False))
    task = await leased(ledger)
    await ledger.complete(task.key, task.fencing_token, DONE)
    succeeded = await ledger.job(FLY)
    clock.advance(100)
    assert await ledger.submit(new_job(segment_count=5)) == succeeded
    assert await ledger.cancel(FLY) == succeeded


async def test_cancelled_job_stays_cancelled(ledger: Ledger, clock: FakeClock) -> None:
    await ledger.submit(new_job())
    job = await ledger.cancel(FLY)
    clock.advance(100)
    assert job.state is JobState.CANCELLED
    assert await ledger.cancel(FLY) == job
    assert await ledger.lease("worker") is None


@pytest.mark.parametrize("call", ["job", "cancel"])
async def test_unknown_job_is_not_found(ledger: Ledger, call: str) -> None:
    with pytest.raises(NotFound) as caught:
        await getattr(ledger, call)("projects/lab/jobs/none")
    assert caught.value.reason == "JOB_NOT_FOUND"


async def walk_step(ledger: Ledger, dice: random.Random, given: list[LeasedTask]) -> None:
    action = dice.choice(["submit", "cancel", *["lease"] * 5, *["end"] * 8])
    if action == "submit":
        await ledger.submit(new_job(dice.choice("abc")))
    elif action == "cancel":
        await ledger.cancel(f"projects/lab/jobs/{dice.choice('abc')}")
    elif action == "lease":
        task = await ledger.lease("worker")
        assert all(
            task is None or task.key != g.key or task.fencing_token > g.fencing_token for g in given
        )
        given += [task] if task else []
    elif given:
        task = dice.choice(given[-4:])
        key, token = task.key, task.fencing_token
        await dice.choice(
            [
                lambda: ledger.complete(key, token, DONE),
                lambda: ledger.complete(key, token, DONE),
                lambda: ledger.fail(key, token, AWAY),
                lambda: ledger.fail(key, token, NotFound("VIDEO_NOT_FOUND", "Gone.")),
                lambda: ledger.expire(key, token, counts=True, exhausted=LOST),
                lambda: ledger.reclaim(key, token),
            ]
        )()


@pytest.mark.parametrize("seed", range(5))
async def test_no_order_of_calls_breaks_the_ledger(
    ledger: Ledger, tmp_path: Path, seed: int
) -> None:
    dice, given = random.Random(seed), []
    before = stored(tmp_path / "ledger.db")
    for _ in range(120):
        with contextlib.suppress(Aborted, NotFound):
            await walk_step(ledger, dice, given)
        after = stored(tmp_path / "ledger.db")
        check_consistent(after)
        check_step(before, after)
        before = after
    assert given


async def test_jobs_come_newest_first_of_one_project(ledger: Ledger) -> None:
    for name in "abc":
        await ledger.submit(new_job(name))
    newest = await ledger.jobs("lab", before=None, limit=2)
    rest = await ledger.jobs("lab", before=newest[-1].sequence, limit=2)
    assert [job.name[-1] for job in newest + rest] == ["c", "b", "a"]
    assert await ledger.jobs("other", before=None, limit=2) == []

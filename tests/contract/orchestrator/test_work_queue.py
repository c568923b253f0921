"""`shoal.jobs.v1.WorkQueueService` keeps its promises over a real socket."""

import asyncio
from typing import Any

import pytest
from google.rpc import status_pb2

from shoal.common.v1 import parameters_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common.status import to_status
from shoal_core.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ShoalError,
    Unavailable,
)
from tests.contract.orchestrator.conftest import Client, Ensemble

WINDOW = parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters())
AWAY = to_status(Unavailable("ENGINE_UNAVAILABLE", "The engine is away."))
LEASE_SECONDS = 10.0


async def test_tasks_say_what_is_to_be_done(client: Client) -> None:
    job = await client.create(tracker=WINDOW)
    segments = []
    for _ in range(2):
        task = await client.must_lease()
        await client.complete(task)
        segments.append(task)
    link = await client.must_lease()
    poses = f"{job.result_label_set}-poses"
    assert [task.infer_segment.segment_index for task in segments] == [0, 1]
    ranges = [(t.infer_segment.range.start, t.infer_segment.range.stop) for t in segments]
    assert ranges == [(0, 45), (45, 100)]  # at the keyframe beside frame 50
    assert {task.infer_segment.label_set for task in segments} == {poses}
    assert link.link.source_label_set == poses
    assert link.link.result_label_set == job.result_label_set
    assert [task.name for task in [*segments, link]] == [f"{job.name}/tasks/{i}" for i in range(3)]
    assert {task.spec.model_version for task in [*segments, link]} == {"models/fly/versions/1"}
    assert {task.lease_duration_ms for task in segments} == {10_000}


async def test_without_a_tracker_the_inferred_poses_are_the_result(client: Client) -> None:
    job = await client.create()
    task = await client.must_lease()
    assert task.infer_segment.label_set == job.result_label_set


async def test_lease_waits_for_a_task(ensemble: Ensemble, client: Client) -> None:
    waiting = asyncio.ensure_future(client.lease(wait_ms=30_000))
    await ensemble.clock.until_someone_sleeps(30)
    await client.create()
    task = await waiting
    assert task is not None


async def test_lease_without_a_task_comes_back_empty_in_time(
    ensemble: Ensemble, client: Client
) -> None:
    waiting = asyncio.ensure_future(client.lease(wait_ms=5000))
    await ensemble.clock.until_someone_sleeps(5)
    ensemble.clock.advance(5)
    assert await waiting is None
    assert await client.lease(wait_ms=0) is None


async def test_workers_that_wait_get_different_tasks(ensemble: Ensemble, client: Client) -> None:
    waiting = [asyncio.ensure_future(client.lease(wait_ms=30_000, worker_id=name)) for name in "ab"]
    await ensemble.clock.until_someone_sleeps(30)
    await client.create()
    names = {task.name for task in await asyncio.gather(*waiting) if task}
    assert len(names) == 2


async def test_expired_lease_goes_to_the_worker_that_waits(
    ensemble: Ensemble, client: Client
) -> None:
    await client.create()
    lost, other = await client.must_lease(), await client.must_lease()
    waiting = asyncio.ensure_future(client.lease(wait_ms=30_000))
    await ensemble.clock.until_someone_sleeps(30)
    ensemble.clock.advance(LEASE_SECONDS / 2)
    await client.renew(other)
    ensemble.clock.advance(LEASE_SECONDS / 2)
    given = await waiting
    assert given is not None
    assert given.name == lost.name
    assert given.fencing_token > lost.fencing_token
    with pytest.raises(Aborted):
        await client.renew(lost)
    await client.renew(other)


async def test_renewed_lease_lasts(ensemble: Ensemble, client: Client) -> None:
    await client.create()
    task, other = await client.must_lease(), await client.must_lease()
    for _ in range(5):
        ensemble.clock.advance(LEASE_SECONDS * 0.9)
        await client.renew(task)
        await client.renew(other)
    assert await client.lease() is None
    await client.complete(task)


async def test_lease_that_expired_begins_again_while_nobody_else_wants_the_task(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    task = await client.must_lease()
    for _ in range(5):
        await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)
        ensemble.clock.advance(LEASE_SECONDS)
        await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)  # the sweeper has been round
        await client.renew(task, 3)
    assert (await client.get(job.name)).progress.inferred_frame_count == 3
    await client.complete(task)


async def test_progress_is_what_is_committed_and_what_is_under_way(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create(tracker=WINDOW)
    first, second = await client.must_lease(), await client.must_lease()
    await client.renew(first)
    assert not (await client.get(job.name)).progress.HasField("first_frame_time")
    await client.renew(first, 7, 14)
    begun = (await client.get(job.name)).progress
    ensemble.clock.advance(1)
    await client.complete(first, 45, 90)
    await client.renew(second, 5, 10)
    progress = (await client.get(job.name)).progress
    assert (begun.inferred_frame_count, begun.committed_frame_count) == (7, 0)
    assert begun.instance_count == 14
    assert (progress.inferred_frame_count, progress.committed_frame_count) == (50, 45)
    assert progress.instance_count == 100
    assert progress.first_frame_time == begun.first_frame_time
    await client.complete(second, 55, 110)
    link = await client.must_lease()
    await client.renew(link, 60, 120)
    progress = (await client.get(job.name)).progress
    assert (progress.linked_frame_count, progress.committed_frame_count) == (60, 100)
    assert progress.instance_count == 200


async def test_listed_jobs_tell_the_work_under_way_too(client: Client) -> None:
    await client.create()
    await client.renew(await client.must_lease(), 7, 14)
    (listed,) = (await client.list()).jobs
    assert listed.progress.inferred_frame_count == 7


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("VIDEO_UNREADABLE", "It is broken."),
        NotFound("VIDEO_NOT_FOUND", "It is gone."),
        OutOfRange("FRAME_OUT_OF_RANGE", "It is shorter."),
        PermissionDenied("PATH_OUTSIDE_ROOTS", "It lies outside."),
        FailedPrecondition("SKELETONS_DIFFER", "They differ."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_error_that_no_repetition_cures_fails_the_job_at_once(
    client: Client, error: ShoalError
) -> None:
    job = await client.create()
    other, task = await client.must_lease(), await client.must_lease()
    await client.fail(task, to_status(error))
    failed = await client.get(job.name)
    assert failed.state == jobs_pb2.JOB_STATE_FAILED
    assert failed.error == to_status(error)
    with pytest.raises(Aborted):
        await client.renew(other)
    assert await client.lease() is None


async def test_other_errors_are_tried_three_times(client: Client) -> None:
    job = await client.create()
    tokens = []
    for _ in range(3):
        assert (await client.get(job.name)).state != jobs_pb2.JOB_STATE_FAILED
        task = await client.must_lease()
        tokens.append(task.fencing_token)
        await client.fail(task, AWAY)
    failed = await client.get(job.name)
    assert (failed.state, failed.error) == (jobs_pb2.JOB_STATE_FAILED, AWAY)
    assert tokens == sorted(set(tokens))


async def test_task_that_kills_its_workers_fails_the_job(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    for _ in range(3):
        await client.must_lease(wait_ms=30_000)
        await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)
        ensemble.clock.advance(LEASE_SECONDS)
    await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)  # the sweeper has been round
    failed = await client.get(job.name)
    assert failed.state == jobs_pb2.JOB_STATE_FAILED
    assert "Frames 0 to 45" in failed.error.message


async def cancelled(client: Client, job: str, _task: jobs_pb2.Task) -> None:
    await client.cancel(job)


async def given_back(client: Client, _job: str, task: jobs_pb2.Task) -> None:
    await client.fail(task, AWAY)


async def given_away(client: Client, _job: str, task: jobs_pb2.Task) -> None:
    await client.fail(task, AWAY)
    assert (await client.must_lease()).name == task.name


async def queued_again(client: Client, job: str, _task: jobs_pb2.Task) -> None:
    await client.cancel(job)
    await client.create()


async def completed_by_another(client: Client, _job: str, task: jobs_pb2.Task) -> None:
    await client.fail(task, AWAY)
    await client.complete(await client.must_lease())


async def never_leased(client: Client, job: str, task: jobs_pb2.Task) -> None:
    task.name = f"{job}/tasks/77"


@pytest.mark.parametrize(
    "loss",
    [cancelled, given_back, given_away, queued_again, completed_by_another, never_leased],
)
@pytest.mark.parametrize(
    ("call", "arguments"), [("renew", ()), ("complete", ()), ("fail", (AWAY,))]
)
async def test_worker_without_its_lease_is_told(
    client: Client, loss: Any, call: str, arguments: tuple[Any, ...]
) -> None:
    job = await client.create()
    task = await client.must_lease()
    await loss(client, job.name, task)
    with pytest.raises(Aborted) as caught:
        await getattr(client, call)(task, *arguments)
    assert caught.value.reason == "LEASE_LOST"


async def test_completing_again_after_a_lost_answer_is_no_error(client: Client) -> None:
    await client.create()
    task = await client.must_lease()
    await client.complete(task)
    await client.complete(task)


@pytest.mark.parametrize(
    ("call", "fields", "reason"),
    [
        ("lease", {"worker_id": ""}, "PARAMETER_INVALID"),
        ("lease", {"wait_ms": -1}, "PARAMETER_INVALID"),
        ("lease", {"wait_ms": 30_001}, "PARAMETER_INVALID"),
        ("renew", {"task": jobs_pb2.Task(name="tasks/1")}, "NAME_INVALID"),
        ("renew", {"task": jobs_pb2.Task(name="projects/p/jobs/j/tasks/x")}, "NAME_INVALID"),
        ("renew", {"task": jobs_pb2.Task(), "frames": -1}, "NAME_INVALID"),
        (
            "renew",
            {"task": jobs_pb2.Task(name="projects/p/jobs/j/tasks/1"), "frames": -1},
            "PARAMETER_INVALID",
        ),
        (
            "complete",
            {"task": jobs_pb2.Task(name="projects/p/jobs/j/tasks/1"), "instances": -1},
            "PARAMETER_INVALID",
        ),
        (
            "fail",
            {
                "task": jobs_pb2.Task(name="projects/p/jobs/j/tasks/1"),
                "error": status_pb2.Status(),
            },
            "PARAMETER_INVALID",
        ),
    ],
)
async def test_malformed_call_is_refused(
    client: Client, call: str, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await getattr(client, call)(**fields)
    assert caught.value.reason == reason


async def test_worker_that_waits_is_told_that_the_server_ends(
    ensemble: Ensemble, client: Client
) -> None:
    waiting = asyncio.ensure_future(client.lease(wait_ms=30_000))
    await ensemble.clock.until_someone_sleeps(30)
    client.stop.set()
    with pytest.raises(Unavailable) as caught:
        await waiting
    assert caught.value.reason == "SERVER_STOPPING"


async def test_restart_keeps_leases_and_progress(ensemble: Ensemble) -> None:
    async with ensemble.orchestrator() as client:
        job = await client.create()
        await client.complete(await client.must_lease(), 45, 90)
        task = await client.must_lease()
        await client.renew(task, 5)
    ensemble.clock.advance(LEASE_SECONDS * 5)
    async with ensemble.orchestrator() as client:
        assert await client.lease() is None
        resumed = await client.get(job.name)
        assert resumed.state == jobs_pb2.JOB_STATE_RUNNING
        assert resumed.progress.committed_frame_count == 45
        assert resumed.progress.HasField("first_frame_time")
        await client.renew(task, 6)
        await client.complete(task, 55, 110)
        assert (await client.get(job.name)).state == jobs_pb2.JOB_STATE_SUCCEEDED


async def test_lease_from_before_a_restart_ends_unless_renewed(ensemble: Ensemble) -> None:
    async with ensemble.orchestrator() as client:
        await client.create()
        tasks = [await client.must_lease(), await client.must_lease()]
    async with ensemble.orchestrator() as client:
        waiting = asyncio.ensure_future(client.lease(wait_ms=30_000))
        await ensemble.clock.until_someone_sleeps(30)
        ensemble.clock.advance(LEASE_SECONDS)
        given = await waiting
        assert given is not None
        assert given.name == tasks[0].name
        assert given.fencing_token > tasks[0].fencing_token


async def test_killing_the_whole_ensemble_often_does_not_fail_its_job(ensemble: Ensemble) -> None:
    for _ in range(5):
        async with ensemble.orchestrator() as client:
            job = await client.create()
            await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)
            ensemble.clock.advance(LEASE_SECONDS)
            assert await client.lease(wait_ms=30_000) is not None
            assert (await client.get(job.name)).state == jobs_pb2.JOB_STATE_RUNNING


async def test_workers_lost_after_restarts_count_once_they_were_heard_of(
    ensemble: Ensemble,
) -> None:
    for _ in range(3):
        async with ensemble.orchestrator() as client:
            job = await client.create()
            assert job.state != jobs_pb2.JOB_STATE_FAILED
            task = await client.must_lease()
        async with ensemble.orchestrator() as client:
            await client.renew(task)
            await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)
            ensemble.clock.advance(LEASE_SECONDS)
            await ensemble.clock.until_someone_sleeps(LEASE_SECONDS)  # the sweeper has been round
            last = await client.get(job.name)
    assert last.state == jobs_pb2.JOB_STATE_FAILED


async def test_frames_with_more_than_the_model_returns_are_counted_to_the_end(
    client: Client,
) -> None:
    job = await client.create(tracker=WINDOW)
    first = await client.lease()
    await client.renew(first, frames=10, instances=20, overflow_frames=3)
    assert (await client.get(job.name)).progress.overflow_frame_count == 3
    await client.complete(first, overflow_frames=4)
    while task := await client.lease():
        await client.complete(task, overflow_frames=0)
    done = await client.get(job.name)
    assert done.state == jobs_pb2.JOB_STATE_SUCCEEDED
    assert done.progress.overflow_frame_count == 4

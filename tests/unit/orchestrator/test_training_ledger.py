"""What the ledger keeps of training."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal_core.errors import Aborted, FailedPrecondition, NotFound, Unavailable
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import Count, LeasedTask, TaskKind
from shoal_orchestrator.schema import sqlite_url
from shoal_orchestrator.states import JobState, TaskState
from shoal_orchestrator.training_ledger import TrainingLedger
from shoal_orchestrator.training_records import Artifact, NewEvent
from tests.fakes.clock import FakeClock
from tests.fakes.ledger_jobs import new_job, new_training_job

JOB = "projects/lab/jobs/fly"
DIED = Unavailable("TRAINER_DIED", "The trainer died.")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    path = sqlite_url(tmp_path / "ledger.db")
    ledger = await Ledger.open(path, clock=FakeClock(), max_attempts=3)
    yield ledger
    await ledger.close()


@pytest.fixture
def training(ledger: Ledger) -> TrainingLedger:
    return TrainingLedger(ledger, clock=FakeClock())


async def leased(ledger: Ledger) -> LeasedTask:
    task = await ledger.lease("w", [TaskKind.TRAIN])
    assert task is not None
    return task


def epoch(number: int, *, report_number: int) -> NewEvent:
    return NewEvent(report_number, b"epoch %d" % number, number, b"measured %d" % number)


async def test_workers_get_only_the_kinds_of_tasks_that_they_do(ledger: Ledger) -> None:
    await ledger.submit(new_training_job("fly"))
    assert await ledger.lease("old worker") is None
    await ledger.submit(new_job("track", segment_count=1))
    task = await ledger.lease("old worker")
    assert task is not None
    assert task.kind is TaskKind.INFER_SEGMENT
    assert (await leased(ledger)).training_stage == "centroid"
    assert (await leased(ledger)).training_stage == "centered_instance"


async def test_what_is_told_twice_is_kept_once(ledger: Ledger, training: TrainingLedger) -> None:
    await ledger.submit(new_training_job())
    task = await leased(ledger)
    for told in ([1, 2], [1, 2, 3], [3]):
        events = [epoch(number, report_number=number) for number in told]
        await training.report(task.key, task.fencing_token, events)
    kept = await training.events(JOB, since=0, limit=10)
    assert [(event.number, event.payload) for event in kept] == [
        (1, b"epoch 1"),
        (2, b"epoch 2"),
        (3, b"epoch 3"),
    ]
    assert await training.events(JOB, since=2, limit=10) == kept[2:]
    assert (await ledger.job(JOB)).trainings[0].last_epoch == b"measured 3"


async def test_training_that_gets_on_is_never_given_up(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job(stages=("centroid",)))
    for number in range(10):
        task = await leased(ledger)
        await training.report(task.key, task.fencing_token, [epoch(number, report_number=1)])
        await ledger.fail(task.key, task.fencing_token, DIED)
    assert (await ledger.job(JOB)).state is JobState.RUNNING


async def test_training_that_repeats_the_same_epoch_fails_after_its_attempts(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job(stages=("centroid",)))
    attempts = 0
    while (await ledger.job(JOB)).state is not JobState.FAILED:
        task = await leased(ledger)
        await training.report(task.key, task.fencing_token, [epoch(0, report_number=1)])
        await ledger.fail(task.key, task.fencing_token, DIED)
        attempts += 1
    assert attempts == 4  # the first got on, then three times the same


async def test_a_lease_that_was_never_heard_of_again_may_follow_progress(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job(stages=("centroid",)))
    task = await leased(ledger)
    await training.report(task.key, task.fencing_token, [epoch(0, report_number=1)])
    await ledger.expire(task.key, task.fencing_token, counts=False, exhausted=DIED)
    assert (await leased(ledger)).attempt_count == 1


async def test_stop_holds_for_stages_that_have_begun_also_when_their_trainers_die(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job())
    with pytest.raises(FailedPrecondition) as caught:
        await training.stop(JOB, "")
    assert caught.value.reason == "TRAINING_NOT_RUNNING"
    task = await leased(ledger)
    job = await training.stop(JOB, "")
    assert [each.stop_requested for each in job.trainings] == [True, False]
    await ledger.fail(task.key, task.fencing_token, DIED)
    again = await leased(ledger)
    assert again.key == task.key
    assert (await training.control(again.key, again.fencing_token)).stop_requested


async def test_a_job_that_is_queued_again_is_not_stopped_at_once(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job())
    await leased(ledger)
    await training.stop(JOB, "")
    await ledger.cancel(JOB)
    job = await ledger.retry(JOB)
    assert job.state is JobState.PENDING
    assert not any(each.stop_requested for each in job.trainings)


async def test_stage_must_be_one_of_the_job(ledger: Ledger, training: TrainingLedger) -> None:
    await ledger.submit(new_training_job())
    await ledger.submit(new_job("track"))
    for name, stage in ((JOB, "tail"), ("projects/lab/jobs/track", "")):
        with pytest.raises(NotFound) as caught:
            await training.stop(name, stage)
        assert caught.value.reason == "STAGE_NOT_FOUND"


async def test_a_learning_rate_holds_for_the_lease_under_which_it_was_set(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job(stages=("centroid",)))
    task = await leased(ledger)
    await training.set_learning_rate(JOB, "centroid", 1e-3)
    await training.set_learning_rate(JOB, "", 1e-3)
    told = await training.control(task.key, task.fencing_token)
    assert (told.learning_rate, told.learning_rate_change) == (1e-3, 2)
    await ledger.fail(task.key, task.fencing_token, DIED)
    again = await leased(ledger)
    assert (await training.control(again.key, again.fencing_token)).learning_rate is None


async def test_files_belong_to_whoever_holds_the_task(
    ledger: Ledger, training: TrainingLedger
) -> None:
    await ledger.submit(new_training_job(stages=("centroid",)))
    task = await leased(ledger)
    first = Artifact("centroid/checkpoints/last.pt", 3, "a" * 64, 1)
    assert await training.put_artifact(task.key, task.fencing_token, first, b"e") is None
    second = Artifact(first.path, 4, "b" * 64, 2)
    assert await training.put_artifact(task.key, task.fencing_token, second, b"e") == "a" * 64
    assert await training.artifact(JOB, first.path) == second
    await ledger.fail(task.key, task.fencing_token, DIED)
    await leased(ledger)
    with pytest.raises(Aborted):
        await training.put_artifact(task.key, task.fencing_token, first, b"e")
    assert await training.artifacts(JOB, prefix="", after="", limit=9) == [second]


async def test_bytes_that_another_file_has_stay(ledger: Ledger, training: TrainingLedger) -> None:
    await ledger.submit(new_training_job(stages=("centroid",)))
    task = await leased(ledger)
    same = "a" * 64
    for name in ("last.pt", "best.pt"):
        artifact = Artifact(f"centroid/{name}", 3, same, 1)
        await training.put_artifact(task.key, task.fencing_token, artifact, b"e")
    replaced = Artifact("centroid/last.pt", 3, "b" * 64, 2)
    assert await training.put_artifact(task.key, task.fencing_token, replaced, b"e") is None
    assert await training.used_artifacts() == {(JOB, same), (JOB, "b" * 64)}


async def test_job_succeeds_with_its_last_stage_and_cannot_be_retried(ledger: Ledger) -> None:
    await ledger.submit(new_training_job())
    for _ in range(2):
        task = await leased(ledger)
        await ledger.complete(task.key, task.fencing_token, Count())
    job = await ledger.job(JOB)
    assert job.state is JobState.SUCCEEDED
    assert {each.state for each in job.trainings} == {TaskState.COMPLETE}
    with pytest.raises(FailedPrecondition) as caught:
        await ledger.retry(JOB)
    assert caught.value.reason == "JOB_SUCCEEDED"

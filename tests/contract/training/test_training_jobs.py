"""Training jobs from their creation to their model, between real sockets."""

import json

import pytest

from shoal.jobs.v1 import jobs_pb2, training_pb2
from shoal.labels.v1 import labels_pb2
from shoal_core.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.contract.training.conftest import Client, Ensemble, call

SUCCEEDED, FAILED = jobs_pb2.JOB_STATE_SUCCEEDED, jobs_pb2.JOB_STATE_FAILED
CANCELLED = jobs_pb2.JOB_STATE_CANCELLED


def kinds(events: list[training_pb2.JobEvent]) -> list[str]:
    return [event.WhichOneof("event") or "" for event in events]


def epochs(events: list[training_pb2.JobEvent]) -> list[int]:
    return [event.epoch_ended.epoch for event in events if event.HasField("epoch_ended")]


async def test_both_networks_of_a_top_down_model_are_trained_and_kept(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create("centroid", "centered_instance")
    assert [stage.stage for stage in job.training_progress] == ["centroid", "centered_instance"]
    async with ensemble.worker():
        ended, events = await client.until_ended(job.name)
    assert ended.state == SUCCEEDED
    for stage in ("centroid", "centered_instance"):
        mine = [event for event in events if event.stage == stage]
        assert epochs(mine) == [0, 1, 2]
        assert kinds(mine)[0] == "begun"
        assert kinds(mine)[-1] == "ended"
        model = json.loads(await client.download(job.name, f"{stage}/model/shoal_model.json"))
        assert model["epoch"] == 3
    numbers = [event.number for event in events]
    assert numbers == sorted(set(numbers))
    assert "centroid/images/last/validation 0.png" in await client.paths(job.name)
    assert not ensemble.left_runs()


async def test_what_the_trainer_measures_is_relayed(ensemble: Ensemble, client: Client) -> None:
    job = await client.create()
    async with ensemble.worker():
        ended, events = await client.until_ended(job.name)
    last = [event.epoch_ended for event in events if event.HasField("epoch_ended")][-1]
    assert (last.loss, last.validation_loss, last.learning_rate) == (1 / 3, 2 / 3, 1e-3)
    assert last.values == {"head": 0.5}
    assert ended.training_progress[0].last_epoch == last
    (metrics,) = [event.metrics for event in events if event.HasField("metrics")]
    assert metrics.values == {"oks.mAP": pytest.approx(11 / 6)}
    lines = [line for event in events for line in event.log.lines]
    assert "training on 1 files of labels" in lines
    assert b"training on 1 files" in await client.download(job.name, "centroid/trainer.log")


async def test_watching_goes_on_after_the_last_event_that_is_known(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    async with ensemble.worker():
        _, events = await client.until_ended(job.name)
    middle = events[len(events) // 2].number
    later = [event async for each in client.watch(job.name, middle) for event in each.events]
    assert [event.number for event in later] == [e.number for e in events if e.number > middle]


async def test_the_same_request_is_the_same_job_wherever_its_labels_lie(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    copy = ensemble.folder / "copy.slp"
    copy.write_text("labels")
    ensemble.labels.add_file(copy)
    spec = client.spec()
    spec.labels[0].uri = str(copy)
    spec.monitor_endpoints.append("tcp://127.0.0.1:9001")
    assert (await client.submit(spec)).job.name == job.name
    assert (await client.create(epochs=4)).name != job.name


async def test_stop_ends_in_success_with_the_best_model(ensemble: Ensemble, client: Client) -> None:
    job = await client.create(epochs=1000, hold_at=2)
    async with ensemble.worker():
        await client.until(job.name, lambda job: job.training_progress[0].last.epoch == 2)
        await call(client.jobs.StopTraining, jobs_pb2.StopTrainingRequest(name=job.name))
        ended, events = await client.until_ended(job.name)
    assert ended.state == SUCCEEDED
    assert epochs(events) == [0, 1, 2]
    assert "centroid/model/shoal_model.json" in await client.paths(job.name)


async def test_a_learning_rate_reaches_the_trainer(ensemble: Ensemble, client: Client) -> None:
    job = await client.create(epochs=1000, hold_at=1)
    async with ensemble.worker():
        await client.until(job.name, lambda job: job.training_progress[0].last.epoch == 1)
        request = jobs_pb2.SetLearningRateRequest(name=job.name, learning_rate=0.25)
        await call(client.jobs.SetLearningRate, request)
        await client.until(
            job.name, lambda job: job.training_progress[0].last.learning_rate == 0.25
        )
        await call(client.jobs.CancelJob, jobs_pb2.CancelJobRequest(name=job.name))


async def test_cancelled_training_leaves_nothing_running_and_can_be_retried(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create(epochs=4, hold_at=2)
    async with ensemble.worker():
        await client.until(job.name, lambda job: job.training_progress[0].last.epoch == 2)
        await call(client.jobs.CancelJob, jobs_pb2.CancelJobRequest(name=job.name))
        ended, _ = await client.until_ended(job.name)
        assert ended.state == CANCELLED
        retried = await call(client.jobs.RetryJob, jobs_pb2.RetryJobRequest(name=job.name))
        assert retried.job.state == jobs_pb2.JOB_STATE_PENDING
        await client.until(job.name, lambda job: job.training_progress[0].attempt == 2)
        await client.until(job.name, lambda job: job.training_progress[0].last.epoch == 2)
        await call(client.jobs.StopTraining, jobs_pb2.StopTrainingRequest(name=job.name))
        ended, events = await client.until_ended(job.name)
    assert ended.state == SUCCEEDED
    begun = [event.begun.resumes for event in events if event.HasField("begun")]
    assert begun == [False, True]
    assert not ensemble.left_runs()


@pytest.mark.parametrize(
    ("fault", "reason"), [("die_at", "TRAINER_DIED"), ("stall_at", "TRAINER_STALLED")]
)
async def test_a_trainer_that_is_lost_is_followed_by_one_that_goes_on(
    ensemble: Ensemble, client: Client, fault: str, reason: str
) -> None:
    job = await client.create(epochs=4, **{fault: 2})
    async with ensemble.worker(trainer_stall_seconds=2.0):
        ended, events = await client.until_ended(job.name)
    assert ended.state == SUCCEEDED
    assert epochs(events) == [0, 1, 2, 3]
    assert ended.training_progress[0].attempt == 2
    ends = [event.ended.end for event in events if event.HasField("ended")]
    assert ends == [training_pb2.TRAINING_END_LOST, training_pb2.TRAINING_END_COMPLETED]
    model = json.loads(await client.download(job.name, "centroid/model/shoal_model.json"))
    assert model["weight"] == pytest.approx(25 / 12)  # as if nothing had happened


async def test_a_trainer_that_always_dies_at_the_same_place_is_given_up(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create(epochs=4, die_at=1, always=True)
    async with ensemble.worker():
        ended, _ = await client.until_ended(job.name)
    assert ended.state == FAILED
    assert ended.training_progress[0].attempt == 4  # one that got on, and three
    assert "SIGKILL" in ended.error.message
    assert "centroid/checkpoints/last.pt" in await client.paths(job.name)


async def test_a_trainer_that_refuses_fails_the_job_with_its_last_line(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create(refuse_at=1)
    async with ensemble.worker():
        ended, events = await client.until_ended(job.name)
    assert ended.state == FAILED
    assert ended.training_progress[0].attempt == 1
    assert "lower the learning rate" in ended.error.message
    assert events[-1].ended.end == training_pb2.TRAINING_END_FAILED


SET = "projects/lab/labelSets/flies"


def label_set_spec(client: Client, **fake: object) -> training_pb2.TrainingJobSpec:
    spec = client.spec(**fake)
    del spec.labels[:]
    spec.label_sets.add(name=SET)
    return spec


async def test_label_sets_are_exported_for_every_attempt(
    ensemble: Ensemble, client: Client
) -> None:
    ensemble.labels.segments[SET] = [labels_pb2.Segment(name=f"{SET}/segments/0", frame_count=5)]
    job = (await client.submit(label_set_spec(client, die_at=1))).job
    async with ensemble.worker():
        ended, events = await client.until_ended(job.name)
    assert ended.state == SUCCEEDED
    assert [event.begun.resumes for event in events if event.HasField("begun")] == [False, True]
    assert "training on 1 files of labels" in [line for each in events for line in each.log.lines]


async def test_a_label_set_that_has_changed_is_another_job(
    ensemble: Ensemble, client: Client
) -> None:
    segment = labels_pb2.Segment(name=f"{SET}/segments/0", frame_count=5, fencing_token=1)
    ensemble.labels.segments[SET] = [segment]
    job = (await client.submit(label_set_spec(client))).job
    segment.fencing_token = 2
    async with ensemble.worker():
        ended, _ = await client.until_ended(job.name)
        assert ended.state == FAILED
        assert "has changed" in ended.error.message
        again = (await client.submit(label_set_spec(client))).job
        assert again.name != job.name
        ended, _ = await client.until_ended(again.name)
    assert ended.state == SUCCEEDED


async def test_label_set_must_be_there(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        await client.submit(label_set_spec(client))
    assert caught.value.reason == "LABEL_SET_NOT_FOUND"


async def test_labels_that_have_changed_are_not_trained_on(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    (ensemble.folder / "labels.slp").write_text("other labels")
    async with ensemble.worker():
        ended, _ = await client.until_ended(job.name)
    assert ended.state == FAILED
    assert "has changed" in ended.error.message


async def test_a_missing_training_program_is_told_with_its_cure(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    async with ensemble.worker(trainer_command=("/nowhere/python",)):
        ended, _ = await client.until_ended(job.name)
    assert ended.state == FAILED
    assert "set trainer_command" in ended.error.message


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [("centroid", "{}"), ("centroid", "{}")],
        [("../centroid", "{}")],
        [("centroid", "[]")],
        [("centroid", "{")],
    ],
)
async def test_bad_stages_are_refused(client: Client, stages: list[tuple[str, str]]) -> None:
    spec = client.spec()
    del spec.stages[:]
    for stage_id, document in stages:
        spec.stages.add(id=stage_id, configuration_json=document)
    with pytest.raises(InvalidArgument) as caught:
        await client.submit(spec)
    assert caught.value.reason == "STAGES_INVALID"


async def test_labels_must_be_there(client: Client) -> None:
    spec = client.spec()
    spec.labels[0].uri = "/nowhere.slp"
    with pytest.raises(NotFound) as caught:
        await client.submit(spec)
    assert caught.value.reason == "LABELS_NOT_FOUND"


async def test_what_does_not_run_cannot_be_stopped(client: Client) -> None:
    job = await client.create()
    with pytest.raises(FailedPrecondition) as caught:
        await call(client.jobs.StopTraining, jobs_pb2.StopTrainingRequest(name=job.name))
    assert caught.value.reason == "TRAINING_NOT_RUNNING"
    for rate in (0.0, -1.0, float("nan")):
        request = jobs_pb2.SetLearningRateRequest(name=job.name, learning_rate=rate)
        with pytest.raises(InvalidArgument):
            await call(client.jobs.SetLearningRate, request)


async def test_lists_leave_configurations_out(client: Client) -> None:
    job = await client.create()
    assert json.loads(job.training.stages[0].configuration_json)["data"] == {"limit": 5}
    request = jobs_pb2.ListJobsRequest(parent="projects/lab")
    (listed,) = (await call(client.jobs.ListJobs, request)).jobs
    assert listed.training.stages[0].id == "centroid"
    assert not listed.training.stages[0].configuration_json

"""Training jobs and sweeps of the SDK against an orchestrator over a real socket."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.jobs.v1 import sweeps_pb2, training_pb2
from shoal_client import (
    AttemptEnd,
    AttemptEnded,
    EpochEnded,
    Evaluated,
    JobState,
    LogLines,
    Shoal,
    SweepAxis,
    TrainingJob,
    TrainingSpec,
    TrainingStage,
)
from shoal_core.errors import DataLoss, Unavailable
from tests.fakes.training_orchestrator import (
    JOB,
    RUNNING,
    SUCCEEDED,
    SWEEP,
    FakeTrainingOrchestrator,
    artifact,
    epoch,
    metrics,
    news,
    served,
)

SPEC = TrainingSpec(
    labels=("/labels.slp",),
    stages=(TrainingStage("model", {"kind": "bottomup", "run": {"seed": 3}}),),
    monitor_endpoints=("tcp://127.0.0.1:9001",),
    label_sets=("projects/default/labelSets/a",),
)


@pytest.fixture
def fake() -> FakeTrainingOrchestrator:
    return FakeTrainingOrchestrator()


@pytest.fixture
def shoal(fake: FakeTrainingOrchestrator, tmp_path: Path) -> Iterator[Shoal]:
    with served(fake, tmp_path) as targets, Shoal.connect(targets) as connected:
        yield connected


def test_a_specification_arrives_as_it_was_given(
    shoal: Shoal, fake: FakeTrainingOrchestrator
) -> None:
    job = shoal.training.create(SPEC)
    (request,) = fake.named("CreateTrainingJob")
    assert [file.uri for file in request.spec.labels] == ["/labels.slp"]
    assert request.spec.stages[0].id == "model"
    assert json.loads(request.spec.stages[0].configuration_json) == SPEC.stages[0].configuration
    assert list(request.spec.monitor_endpoints) == ["tcp://127.0.0.1:9001"]
    assert [each.name for each in request.spec.label_sets] == ["projects/default/labelSets/a"]
    assert (job.name, job.state, job.labels) == (JOB, JobState.RUNNING, ("/labels.slp",))


def test_every_event_comes_once_and_in_order_although_the_stream_is_opened_anew(
    shoal: Shoal, fake: FakeTrainingOrchestrator
) -> None:
    fake.story = [
        news(RUNNING, epoch(1, 0, 0.5, 0.6)),
        news(RUNNING, epoch(4, 1, 0.4, 0.5), metrics(7, map=0.9)),
        news(SUCCEEDED),
    ]
    fake._dies_after = 1
    interrupted = shoal.training.watch(JOB)
    heard = list(next(interrupted).events)
    with pytest.raises(Unavailable):
        next(interrupted)
    for each in shoal.training.watch(JOB, since=heard[-1].number):
        heard += each.events
    assert [event.number for event in heard] == [1, 4, 7]
    assert [request.since for request in fake.named("WatchJob")] == [0, 1]


def test_the_history_of_a_job_that_has_ended_is_told_to_its_end_although_a_deadline_cuts_it(
    tmp_path: Path,
) -> None:
    class Slow(FakeTrainingOrchestrator):
        def WatchJob(self, request, context):
            answers = super().WatchJob(request, context)
            if request.since == 0:
                yield next(answers)
                over = threading.Event()
                context.add_callback(over.set)
                over.wait()
            yield from answers

    pages = [news(SUCCEEDED, epoch(1, 0, 0.5, 0.6)), news(SUCCEEDED, epoch(2, 1, 0.4, 0.5))]
    with served(Slow(pages), tmp_path) as targets, Shoal.connect(targets) as other:
        told = list(other.training.watch(JOB, period_s=0.5))
    assert [event.number for each in told for event in each.events] == [1, 2]


def test_events_are_values_of_their_own_types(shoal: Shoal, fake: FakeTrainingOrchestrator) -> None:
    ended = {"end": training_pb2.TRAINING_END_LOST, "message": "It died."}
    fake.story = [
        news(
            SUCCEEDED,
            epoch(1, 0, 0.5, 0.6, learning_rate=0.1, remaining_ms=1500, values={"pafs": 2.0}),
            training_pb2.JobEvent(number=2, log={"lines": ["one"], "dropped_line_count": 3}),
            training_pb2.JobEvent(number=3),  # of a kind that is not known yet
            metrics(4, map=0.9),
            training_pb2.JobEvent(number=5, ended=ended),
        )
    ]
    (only,) = shoal.training.watch(JOB)
    first, *others = (event.what for event in only.events)
    assert isinstance(first, EpochEnded)
    assert (first.measurement.loss, first.measurement.remaining_s) == (0.5, 1.5)
    assert first.measurement.samples_per_second is None
    assert first.measurement.values == {"pafs": 2.0}
    assert others == [
        LogLines(("one",), 3),
        Evaluated({"map": 0.9}),
        AttemptEnded(AttemptEnd.LOST, "It died."),
    ]


def test_downloaded_files_are_whole_and_are_not_fetched_twice(
    shoal: Shoal, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    fake.files = {"model/model/a": b"0123456789", "model/model/b": b"", "model/log.csv": b"x"}
    for _ in range(2):
        for each in shoal.training.artifacts(JOB, prefix="model/model/"):
            shoal.training.download(JOB, each, tmp_path / "out")
    assert (tmp_path / "out/model/model/a").read_bytes() == b"0123456789"
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == ["a", "b"]
    assert len(fake.named("DownloadArtifact")) == 2


def test_a_damaged_file_leaves_nothing_behind(
    shoal: Shoal, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    fake.files = {"model/a": b"0123"}

    class Lying(FakeTrainingOrchestrator):
        def DownloadArtifact(self, request, context):
            for answer in super().DownloadArtifact(request, context):
                if answer.chunk:
                    answer.chunk = b"9999"
                yield answer

    lying = Lying(files=fake.files)
    (folder := tmp_path / "l").mkdir()
    with served(lying, folder) as targets, Shoal.connect(targets) as other:
        (only,) = other.training.artifacts(JOB)
        with pytest.raises(DataLoss, match="damaged"):
            other.training.download(JOB, only, tmp_path / "out")
    assert not any(p.is_file() for p in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("path", ["../out", "/etc/out", "a/../../out"])
def test_no_path_leads_out_of_the_folder(shoal: Shoal, tmp_path: Path, path: str) -> None:
    from shoal_client.convert_training import artifact as to_artifact

    with pytest.raises(DataLoss, match="leads out"):
        shoal.training.download(JOB, to_artifact(artifact(path, b"")), tmp_path)


def test_stop_and_learning_rate_reach_one_stage(
    shoal: Shoal, fake: FakeTrainingOrchestrator
) -> None:
    shoal.training.stop(JOB, stage="centroid")
    shoal.training.set_learning_rate(JOB, 0.5)
    stop, rate = fake.requests
    assert (stop.name, stop.stage) == (JOB, "centroid")
    assert (rate.stage, rate.learning_rate) == ("", 0.5)


def test_a_list_holds_jobs_of_both_kinds(shoal: Shoal, fake: FakeTrainingOrchestrator) -> None:
    from .fakes import job

    fake.other_jobs = [job(SUCCEEDED, 10)]
    training, tracking = shoal.jobs.list()
    assert isinstance(training, TrainingJob)
    assert not isinstance(tracking, TrainingJob)
    assert isinstance(shoal.jobs.retry(JOB), TrainingJob)


def test_a_sweep_tells_values_and_the_best(shoal: Shoal, fake: FakeTrainingOrchestrator) -> None:
    fake.sweeps = [
        sweeps_pb2.TrainingSweep(
            name=SWEEP,
            axes=[{"key": "data.limit", "values_json": ["5", "10"]}],
            metric="map",
            trials=[
                {"job": JOB, "values_json": ["5"], "state": SUCCEEDED, "metric_value": 0.5},
                {"job": JOB, "values_json": ["10"], "state": RUNNING},
            ],
            best_trial_index=0,
        )
    ]
    sweep = shoal.training.create_sweep(
        SPEC, [SweepAxis("data.limit", (5, 10))], metric="map", stage="model"
    )
    (request,) = fake.named("CreateTrainingSweep")
    assert list(request.axes[0].values_json) == ["5", "10"]
    assert sweep == shoal.training.get_sweep(SWEEP)
    assert [trial.values for trial in sweep.trials] == [(5,), (10,)]
    assert [trial.metric_value for trial in sweep.trials] == [0.5, None]
    assert sweep.best_trial_index == 0


def test_every_call_has_a_deadline(shoal: Shoal, fake: FakeTrainingOrchestrator) -> None:
    fake.story = [news(SUCCEEDED)]
    shoal.training.create(SPEC)
    list(shoal.training.watch(JOB))
    shoal.training.stop(JOB)
    shoal.jobs.retry(JOB)
    list(shoal.training.artifacts(JOB))
    assert len(fake.told_s) == 5
    assert all(left is not None and left < 3600 for left in fake.told_s)

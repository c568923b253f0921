"""`shoal jobs` against an orchestrator over a real socket."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.jobs.v1 import jobs_pb2, training_pb2
from shoal_cli.job_watch import log_lines, watch_job
from shoal_cli.jobs_text import full_name, job_lines, job_row
from shoal_cli.session import Session
from shoal_cli.training.screen import LineScreen
from shoal_core.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.fakes.cli_session import fake_session
from tests.fakes.training_orchestrator import (
    FAILED,
    JOB,
    RUNNING,
    SUCCEEDED,
    FakeTrainingOrchestrator,
    epoch,
    news,
)


@pytest.fixture
def fake() -> FakeTrainingOrchestrator:
    return FakeTrainingOrchestrator(stage_ids=("centroid", "centered_instance"))


@pytest.fixture
def session(fake: FakeTrainingOrchestrator, tmp_path: Path) -> Iterator[Session]:
    with fake_session(fake, tmp_path) as session:
        yield session


def tracking(name: str) -> jobs_pb2.Job:
    return jobs_pb2.Job(
        name=f"projects/default/jobs/{name}",
        state=SUCCEEDED,
        spec={"video": {"uri": "/v.mp4"}, "model_version": "models/m/versions/1"},
        progress={"total_frame_count": 10, "committed_frame_count": 4, "instance_count": 9},
        result_label_set="projects/default/labelSets/r",
    )


def test_jobs_of_both_kinds_are_rows_of_one_table(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    fake.other_jobs = [tracking("ab")]
    rows = [job_row(job)[:5] for job in session.shoal.jobs.list()]
    assert rows == [
        (
            "abc123",
            "train",
            "running",
            "centroid running, centered_instance running",
            "/labels.slp",
        ),
        ("ab", "track", "succeeded", "4/10 frames", "/v.mp4"),
    ]


def test_a_job_is_shown_with_what_it_reads_and_makes(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    fake.other_jobs = [tracking("ab")]
    assert job_lines(session.shoal.jobs.get("projects/default/jobs/ab")) == [
        "projects/default/jobs/ab",
        "  succeeded, created 1970-01-01 00:00",
        "  video /v.mp4",
        "  model models/m/versions/1",
        "  4/10 frames, 9 instances",
        "  result projects/default/labelSets/r",
    ]


def test_the_beginning_of_a_name_is_enough_where_it_tells_one_job(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    fake.other_jobs = [tracking("ab"), tracking("xyz")]
    jobs = session.shoal.jobs
    assert full_name("x", jobs.list()) == "projects/default/jobs/xyz"
    assert full_name("ab", jobs.list()) == "projects/default/jobs/ab"  # as a whole
    assert full_name("projects/p/jobs/q", jobs.list()) == "projects/p/jobs/q"
    with pytest.raises(InvalidArgument, match="abc123, ab"):
        full_name("a", jobs.list())
    with pytest.raises(NotFound, match="no job q"):
        full_name("q", jobs.list())


def test_watching_goes_on_where_a_lost_connection_was(
    session: Session, fake: FakeTrainingOrchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.story = [news(RUNNING, epoch(1, 0, 0.5, 0.6)), news(SUCCEEDED, epoch(2, 1, 0.4, 0.5))]
    fake._dies_after = 1
    stream = io.StringIO()
    assert watch_job(session, JOB, LineScreen(stream)) == 0
    assert stream.getvalue().splitlines() == [
        "model: epoch 1/10 · loss 0.5 · validation 0.6",
        "model: epoch 2/10 · loss 0.4 · validation 0.5",
    ]
    assert capsys.readouterr().out == "abc123 succeeded\n"


def test_watching_a_job_that_fails_says_why(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    why = FailedPrecondition("LOSS_DIVERGED", "The loss diverges; lower the learning rate.")
    fake.story = [news(FAILED, error=why)]
    with pytest.raises(FailedPrecondition, match="lower the learning rate"):
        watch_job(session, JOB, LineScreen(io.StringIO()))


def log(number: int, *lines: str, dropped: int = 0) -> training_pb2.JobEvent:
    return training_pb2.JobEvent(
        number=number, stage="centroid", log={"lines": lines, "dropped_line_count": dropped}
    )


def test_logs_are_all_lines_so_far_and_no_waiting(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    many = [log(number, f"line {number}") for number in range(1, 501)]
    fake.story = [
        news(RUNNING, *many),
        news(RUNNING, log(501, "after", dropped=2)),
        news(RUNNING, log(502, "later")),
    ]
    lines = list(log_lines(session, JOB, follow=False))
    assert lines[:1] == ["centroid: line 1"]
    assert lines[-2:] == ["centroid: after", "centroid: … 2 lines are left out"]
    assert len(lines) == 502


def test_logs_that_are_followed_end_with_the_job(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    fake.story = [news(RUNNING, log(1, "a")), news(RUNNING), news(SUCCEEDED, log(2, "b"))]
    assert list(log_lines(session, JOB, follow=True)) == ["centroid: a", "centroid: b"]


def test_a_tracking_job_has_no_trainer_whose_logs_could_be_read(
    session: Session, fake: FakeTrainingOrchestrator
) -> None:
    fake.other_jobs = [tracking("ab")]
    with pytest.raises(FailedPrecondition, match="tracks a video"):
        list(log_lines(session, "projects/default/jobs/ab", follow=False))

"""`shoal train` against an orchestrator over a real socket."""

import io
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from shoal_cli.interruption import Interrupted
from shoal_cli.session import Session
from shoal_cli.training.output import check_output
from shoal_cli.training.run import TrainRun
from shoal_cli.training.screen import LineScreen
from shoal_cli.training.story import TrainingStory
from shoal_client import JobState, TrainingSpec, TrainingStage
from shoal_core.errors import Cancelled, FailedPrecondition, InvalidArgument, NotFound
from tests.fakes.cli_session import fake_session
from tests.fakes.training_orchestrator import (
    CANCELLED,
    FAILED,
    RUNNING,
    SUCCEEDED,
    FakeTrainingOrchestrator,
    epoch,
    metrics,
    news,
)

SPEC = TrainingSpec(("/labels.slp",), (TrainingStage("model", {}),))
FILES = {
    "model/config.json": b"{}",
    "model/checkpoints/best.pt": b"best",
    "model/checkpoints/last.pt": b"last",
    "model/model/shoal_model.json": b"{}",
    "model/model/network.onnx": b"onnx",
}
STORY = [
    news(RUNNING, epoch(1, 0, 0.5, 0.6)),
    news(RUNNING, epoch(2, 1, 0.4, 0.5)),
    news(RUNNING, epoch(3, 2, 0.3, 0.4)),
    news(SUCCEEDED, metrics(4, **{"poses.map": 0.9, "frame_count": 10})),
]


class InterruptedScreen(LineScreen):
    """Shows lines; at some of them somebody presses Ctrl-C, or a signal comes."""

    def __init__(self, at: dict[int, Callable[[], KeyboardInterrupt]]) -> None:
        self.stream = io.StringIO()
        super().__init__(self.stream)
        self._at = at
        self._count = 0

    def show(self, story: TrainingStory, told: Sequence[str]) -> None:
        super().show(story, told)
        self._count += 1
        if self._count in self._at:
            raise self._at[self._count]()


@pytest.fixture
def fake() -> FakeTrainingOrchestrator:
    return FakeTrainingOrchestrator(STORY, files=FILES)


@pytest.fixture
def session(fake: FakeTrainingOrchestrator, tmp_path: Path) -> Iterator[Session]:
    with fake_session(fake, tmp_path) as session:
        yield session


def run(
    session: Session, folder: Path, at: dict[int, Callable[[], KeyboardInterrupt]] | None = None
) -> str:
    """Trains; returns what was shown."""
    screen = InterruptedScreen(at or {})
    assert TrainRun(SPEC, folder, session, screen).run().state is JobState.SUCCEEDED
    return screen.stream.getvalue()


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def hang_up() -> Interrupted:
    return Interrupted("terminated", signal.SIGHUP)


def terminated() -> Interrupted:
    return Interrupted("terminated", signal.SIGTERM)


def test_the_folder_holds_the_run_of_the_only_stage(session: Session, tmp_path: Path) -> None:
    shown = run(session, tmp_path / "out")
    made = content(tmp_path / "out")
    assert json.loads(made.pop("shoal_training.json")) == {"name": "projects/default/jobs/abc123"}
    assert made == {
        "config.json": "{}",
        "checkpoints/best.pt": "best",
        "model/shoal_model.json": "{}",
        "model/network.onnx": "onnx",
    }
    assert shown.splitlines()[-1] == "model: evaluated, mAP 0.900"


def test_two_stages_get_a_folder_each(tmp_path: Path) -> None:
    ids = ("centroid", "centered_instance")
    fake = FakeTrainingOrchestrator(
        [news(SUCCEEDED, stage_ids=ids)],
        files={f"{stage}/model/shoal_model.json": b"{}" for stage in ids},
        stage_ids=ids,
    )
    with fake_session(fake, tmp_path) as session:
        run(session, tmp_path / "out")
    assert set(content(tmp_path / "out")) == {
        "centroid/model/shoal_model.json",
        "centered_instance/model/shoal_model.json",
        "shoal_training.json",
    }


def test_a_second_run_replaces_the_folder_as_a_whole(session: Session, tmp_path: Path) -> None:
    run(session, tmp_path / "out")
    (tmp_path / "out/stale").touch()
    run(session, check_output(tmp_path / "out"))
    assert "stale" not in content(tmp_path / "out")
    assert not list(tmp_path.glob(".out*"))


def test_ctrl_c_lets_training_finish_and_its_model_is_written(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    shown = run(session, tmp_path / "out", {2: KeyboardInterrupt})
    assert len(fake.named("StopTraining")) == 1
    assert not fake.cancelled.is_set()
    assert "Ctrl-C again cancels" in shown
    epochs = [line.split(" ·")[0] for line in shown.splitlines() if "epoch" in line]
    assert epochs == [f"model: epoch {index}/10" for index in (1, 2, 3)]
    assert (tmp_path / "out/model/network.onnx").exists()


def test_a_second_ctrl_c_cancels(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="goes on from the last checkpoint") as caught:
        run(session, tmp_path / "out", {1: KeyboardInterrupt, 2: KeyboardInterrupt})
    assert caught.value.signal_number == signal.SIGINT
    assert fake.cancelled.is_set()
    assert not (tmp_path / "out").exists()


def test_a_stage_that_begins_after_ctrl_c_can_be_stopped_as_well(tmp_path: Path) -> None:
    ids = ("centroid", "centered_instance")
    first = news(RUNNING, epoch(1, 0, 1.0, 1.0, "centroid"), stage_ids=ids)
    first.job.training_progress[1].state = 1  # waits
    second = news(RUNNING, epoch(2, 0, 1.0, 1.0, ids[1]), stage_ids=ids)
    second.job.training_progress[0].state = 3  # has its model
    fake = FakeTrainingOrchestrator(
        [first, second, news(SUCCEEDED, stage_ids=ids)],
        files={f"{stage}/model/shoal_model.json": b"{}" for stage in ids},
        stage_ids=ids,
    )
    with fake_session(fake, tmp_path) as session:
        run(session, tmp_path / "out", {1: KeyboardInterrupt, 2: KeyboardInterrupt})
    assert len(fake.named("StopTraining")) == 2
    assert not fake.cancelled.is_set()


def test_a_terminal_that_is_closed_leaves_the_job_to_an_ensemble_that_stays(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="the job goes on") as caught:
        run(session, tmp_path / "out", {1: hang_up})
    assert caught.value.signal_number == signal.SIGHUP
    assert not fake.cancelled.is_set()
    assert not fake.stopped.is_set()


def test_a_terminal_that_is_closed_ends_the_job_of_an_ensemble_that_ends_with_it(
    fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    with (
        fake_session(fake, tmp_path, is_embedded=True) as session,
        pytest.raises(Interrupted, match="the same command goes on"),
    ):
        run(session, tmp_path / "out", {1: hang_up})
    assert fake.cancelled.is_set()


def test_termination_cancels(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        run(session, tmp_path / "out", {1: terminated})
    assert fake.cancelled.is_set()
    assert not fake.stopped.is_set()


def test_a_job_that_fails_says_why_and_writes_nothing(tmp_path: Path) -> None:
    why = FailedPrecondition("LOSS_DIVERGED", "The loss diverges; lower the learning rate.")
    fake = FakeTrainingOrchestrator([news(FAILED, error=why)], files=FILES)
    with (
        fake_session(fake, tmp_path) as session,
        pytest.raises(FailedPrecondition, match="lower the learning rate"),
    ):
        run(session, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_job_that_somebody_else_cancels_is_told(tmp_path: Path) -> None:
    fake = FakeTrainingOrchestrator([news(CANCELLED)], files=FILES)
    with fake_session(fake, tmp_path) as session, pytest.raises(Cancelled, match="elsewhere"):
        run(session, tmp_path / "out")


def test_a_lost_connection_costs_no_epoch(tmp_path: Path) -> None:
    fake = FakeTrainingOrchestrator(STORY, files=FILES, dies_after=2)
    with fake_session(fake, tmp_path) as session:
        shown = run(session, tmp_path / "out")
    assert shown.count("epoch 3/10") == shown.count("epoch 1/10") == 1
    assert [request.since for request in fake.named("WatchJob")] == [0, 2]


def test_a_download_that_fails_leaves_what_was_there(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    run(session, tmp_path / "out")
    before = content(tmp_path / "out")
    fake.files = {"model/config.json": b"new"}
    with pytest.raises(FailedPrecondition, match="no model of stage model"):
        run(session, tmp_path / "out")
    assert content(tmp_path / "out") == before
    assert not list(tmp_path.glob(".out*"))


def test_what_others_have_written_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    with pytest.raises(InvalidArgument, match="choose another folder"):
        check_output(tmp_path / "mine")
    with pytest.raises(InvalidArgument, match="is a file"):
        check_output(tmp_path / "mine/thesis.tex")
    with pytest.raises(NotFound, match="make it first"):
        check_output(tmp_path / "no/where")
    (tmp_path / "empty").mkdir()
    assert check_output(tmp_path / "empty") == tmp_path / "empty"

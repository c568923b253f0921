"""`shoal train --sweep` against an orchestrator over a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from shoal.jobs.v1 import jobs_pb2, sweeps_pb2
from shoal_cli.interruption import Interrupted
from shoal_cli.session import Session
from shoal_cli.training.plan import TrainPlan
from shoal_cli.training.sweep import chosen_sweep
from shoal_cli.training.sweep_run import SweepRun
from shoal_client import TrainingStage
from shoal_core.errors import FailedPrecondition
from tests.fakes.cli_session import FakeEnsemble, fake_session
from tests.fakes.training_orchestrator import (
    FAILED,
    JOB,
    RUNNING,
    SUCCEEDED,
    SWEEP,
    FakeTrainingOrchestrator,
    job,
)

PLAN = TrainPlan(
    labels=("/l.slp",),
    validation_labels=(),
    test_labels=(),
    kind="single",
    labelled_frame_count=9,
    stages=(TrainingStage("model", {}),),
    descriptions={},
    warnings=(),
)
SWEEPING = chosen_sweep(["data.limit=5,10,20"], None, metric="poses.map", minimise=False)


def sweep(*values: float | None, state: int = SUCCEEDED) -> sweeps_pb2.TrainingSweep:
    """A sweep whose trials have these figures; None: none yet, or none at all."""
    best = max((v for v in values if v is not None), default=None)
    message = sweeps_pb2.TrainingSweep(
        name=SWEEP,
        axes=[{"key": "data.limit", "values_json": ["5", "10", "20"]}],
        metric="poses.map",
        best_trial_index=None if best is None else values.index(best),
    )
    for limit, value in zip((5, 10, 20), values, strict=True):
        known = {} if value is None else {"poses.map": value}
        message.trials.add(
            job=JOB,
            values_json=[str(limit)],
            state=SUCCEEDED if value is not None else state,
            metric_value=value,
            metrics={"values": known},
        )
    return message


@pytest.fixture
def fake() -> FakeTrainingOrchestrator:
    fake = FakeTrainingOrchestrator(files={"model/model/shoal_model.json": b"{}"})
    fake.sweeps = [
        sweep(0.2, None, None, state=RUNNING),
        sweep(0.2, 0.6, None, state=RUNNING),
        sweep(0.2, 0.6, 0.5),
    ]
    return fake


@pytest.fixture
def session(fake: FakeTrainingOrchestrator, tmp_path: Path) -> Iterator[Session]:
    with fake_session(fake, tmp_path) as session:
        yield session


def test_the_folder_holds_table_figures_curve_and_the_best_model(
    session: Session, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    SweepRun(PLAN, SWEEPING, out, session).run()
    assert (out / "results.txt").read_text().splitlines() == [
        "data.limit  poses.map  STATE      JOB",
        "5           0.2000     succeeded  abc123",
        "10          0.6000     succeeded  abc123  best",
        "20          0.5000     succeeded  abc123",
    ]
    trials = json.loads((out / "results.json").read_text())
    assert [(trial["values"], trial["metric_value"]) for trial in trials] == [
        ([5], 0.2),
        ([10], 0.6),
        ([20], 0.5),
    ]
    assert (out / "best/model/shoal_model.json").exists()
    assert cv2.imread(str(out / "curve.png")).std() > 1  # something is drawn


def test_a_sweep_whose_jobs_all_fail_says_why_the_first_did(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    why = FailedPrecondition("LOSS_DIVERGED", "The loss diverges.")
    fake.sweeps = [sweep(None, None, None, state=FAILED)]
    fake.other_jobs = [job(FAILED, error=why)]
    with pytest.raises(FailedPrecondition, match=r"first one failed: The loss diverges\."):
        SweepRun(PLAN, SWEEPING, tmp_path / "out", session).run()
    assert not (tmp_path / "out").exists()


def test_ctrl_c_cancels_what_has_not_ended(
    session: Session, fake: FakeTrainingOrchestrator, tmp_path: Path
) -> None:
    ensemble = session.ensemble
    assert isinstance(ensemble, FakeEnsemble)
    ensemble.interrupts = True
    with pytest.raises(Interrupted, match="the same command goes on"):
        SweepRun(PLAN, SWEEPING, tmp_path / "out", session).run()
    assert len(fake.named("CancelJob")) == 2  # the first trial had ended
    assert jobs_pb2.CancelJobRequest(name=JOB) in fake.requests

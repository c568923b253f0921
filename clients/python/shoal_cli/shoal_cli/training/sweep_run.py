"""Carries a sweep out: its jobs, what has come of them, the best model."""

import dataclasses
import json
import signal
from functools import partial
from pathlib import Path

from shoal_cli import messages
from shoal_cli.interruption import Interrupted
from shoal_cli.orphans import end_orphans
from shoal_cli.session import Session
from shoal_cli.training.output import mark, replaced, write_model
from shoal_cli.training.plan import TrainPlan
from shoal_cli.training.sweep import Sweep
from shoal_cli.training.sweep_curve import draw_curve
from shoal_cli.training.sweep_text import sweep_table
from shoal_client import TrainingJob, TrainingSweep
from shoal_core.errors import Cancelled, DeadlineExceeded, FailedPrecondition, Unavailable

_PERIOD_SECONDS = 2.0


class SweepRun:
    """One command on its way. Ctrl-C cancels what is left; the same command goes on."""

    def __init__(self, plan: TrainPlan, sweep: Sweep, output: Path, session: Session) -> None:
        self._plan = plan
        self._sweep = sweep
        self._output = output
        self._session = session
        self._result: TrainingSweep | None = None

    def run(self) -> TrainingSweep:
        """Trains every combination and writes the folder; returns what came of it.

        Raises:
            FailedPrecondition: SWEEP_FAILED when no job has given the figure that decides.
        """
        end_orphans(self._session)
        self._session.progress.step("opening the labels")
        try:
            result = self._watch()
        except KeyboardInterrupt as error:
            self._cancel()
            number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
            message = "interrupted; the same command goes on where it stopped"
            raise Interrupted(message, number) from error
        except BaseException:
            self._cancel()
            raise
        if result.best_trial_index is None:
            raise FailedPrecondition("SWEEP_FAILED", self._failure(result))
        self._write(result, result.best_trial_index)
        return result

    def _watch(self) -> TrainingSweep:
        training = self._session.shoal.training
        sweep = self._sweep
        result = self._session.patiently(
            lambda: training.create_sweep(
                self._plan.spec(), sweep.axes, metric=sweep.metric, minimise=sweep.minimise
            )
        )
        self._session.progress.step("training")
        while True:
            self._result = result
            ended = sum(trial.state.has_ended for trial in result.trials)
            self._session.progress.update(ended, len(result.trials), "models")
            if ended == len(result.trials):
                return result
            self._session.ensemble.wait(_PERIOD_SECONDS)
            result = self._session.patiently(partial(training.get_sweep, result.name))

    def _write(self, result: TrainingSweep, best: int) -> None:
        self._session.progress.step("writing")
        job = self._session.patiently(lambda: self._session.shoal.jobs.get(result.trials[best].job))
        assert isinstance(job, TrainingJob), "a sweep's trials train"
        with replaced(self._output) as folder:
            mark(folder, result.name)
            (folder / "results.txt").write_text(sweep_table(result) + "\n")
            trials = [dataclasses.asdict(trial) for trial in result.trials]
            (folder / "results.json").write_text(json.dumps(trials, indent=2, default=str) + "\n")
            draw_curve(result, self._sweep, folder / "curve.png")
            write_model(self._session, job, folder / "best")

    def _cancel(self) -> None:
        try:
            for trial in () if self._result is None else self._result.trials:
                if not trial.state.has_ended:
                    self._session.shoal.jobs.cancel(trial.job)
        except (Unavailable, DeadlineExceeded, Cancelled) as error:
            # What ends the command is what it says. An embedded ensemble ends with it.
            if not self._session.is_embedded:
                messages.warning(f"jobs could not be stopped and go on: {error.message}")

    def _failure(self, result: TrainingSweep) -> str:
        """Returns why no model is the best: what the first job that failed says."""
        for trial in result.trials:
            job = self._session.shoal.jobs.get(trial.job)
            if job.error is not None:
                return f"No model has a {result.metric}; the first one failed: {job.error.message}"
        known = sorted({name for trial in result.trials for name in trial.metrics})
        return (
            f"No model has a {result.metric}; choose another --metric among "
            f"{', '.join(known) or 'none'}."
        )

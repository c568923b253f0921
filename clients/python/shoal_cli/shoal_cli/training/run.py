"""Carries training out: one job, what is seen of it, the model's folder."""

import signal
from pathlib import Path

from shoal_cli import messages
from shoal_cli.interruption import Interrupted
from shoal_cli.job_watch import follow_training
from shoal_cli.orphans import end_orphans
from shoal_cli.session import Session
from shoal_cli.training.output import write_model
from shoal_cli.training.screen import Screen
from shoal_cli.training.story import TrainingStory
from shoal_client import JobState, StageState, TrainingJob, TrainingSpec
from shoal_core.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    Unavailable,
)

_HANG_UP = getattr(signal, "SIGHUP", None)


class TrainRun:
    """One command on its way.

    Ctrl-C lets the stage that is running finish with its best weights; a second one, or any other
    signal, cancels the job, which the same command takes up again. A terminal that is closed ends
    the command only, unless the ensemble is its own.
    """

    def __init__(self, spec: TrainingSpec, output: Path, session: Session, screen: Screen) -> None:
        self._spec = spec
        self._output = output
        self._session = session
        self._screen = screen
        self._job: TrainingJob | None = None
        self._finishing: set[str] = set()
        self.story = TrainingStory()
        """What has happened so far."""

    def run(self) -> TrainingJob:
        """Trains and writes the folder; returns the job.

        Raises:
            Interrupted: When it was told to stop before there was a model.
            Cancelled: JOB_CANCELLED when somebody else has ended the job.
            ShoalError: whatever made the job fail.
        """
        end_orphans(self._session)
        try:
            self._job = self._create()
            job = self._watch()
        except KeyboardInterrupt:  # answered already
            raise
        except BaseException:
            self._cancel()
            raise
        finally:
            self._screen.close()
        _check_success(job)
        self._session.progress.step("writing")
        write_model(self._session, job, self._output)
        return job

    def _create(self) -> TrainingJob:
        self._session.progress.step("opening the labels")
        try:
            return self._session.patiently(lambda: self._session.shoal.training.create(self._spec))
        except KeyboardInterrupt as error:
            raise self._cancelled(error) from error
        finally:
            self._session.progress.close()

    def _watch(self) -> TrainingJob:
        """Returns the job once it has ended."""
        name = self._name
        while True:
            try:
                return self._session.patiently(
                    lambda: follow_training(self._session, name, self.story, self._screen)
                )
            except KeyboardInterrupt as error:
                try:
                    end = self._answer(error)
                except KeyboardInterrupt as again:
                    end = self._cancelled(again)
                if end is not None:
                    raise end from error

    def _answer(self, error: KeyboardInterrupt) -> Interrupted | None:
        """Does what a signal asks for; returns how the command ends, None if it goes on."""
        number = _signal_number(error)
        if number == _HANG_UP and not self._session.is_embedded:
            return Interrupted("the terminal has gone; the job goes on", number)
        running = {
            stage.id for stage in self.story.stages.values() if stage.state is StageState.RUNNING
        }
        if number != signal.SIGINT or not running - self._finishing:
            return self._cancelled(error)
        try:
            self._session.shoal.training.stop(self._name)
        except FailedPrecondition:  # it has just ended, or waits since its trainer was lost
            return self._cancelled(error)
        self._finishing |= running
        names = " and ".join(sorted(running))
        self._screen.say(f"{names}: finishes with the best weights; Ctrl-C again cancels")
        return None

    def _cancelled(self, error: KeyboardInterrupt) -> Interrupted:
        self._cancel()
        message = "interrupted; the same command goes on from the last checkpoint"
        return Interrupted(message, _signal_number(error))

    def _cancel(self) -> None:
        if self._job is None:
            return
        try:
            if not self._session.shoal.jobs.get(self._name).state.has_ended:
                self._session.shoal.jobs.cancel(self._name)
        except (Unavailable, DeadlineExceeded, Cancelled) as error:
            # What ends the command is what it says. An embedded ensemble ends with it.
            if not self._session.is_embedded:
                messages.warning(f"the job could not be stopped and goes on: {error.message}")

    @property
    def _name(self) -> str:
        assert self._job is not None, "the job is created first"
        return self._job.name


def _check_success(job: TrainingJob) -> None:
    match job.state:
        case JobState.SUCCEEDED:
            return
        case JobState.CANCELLED:
            raise Cancelled("JOB_CANCELLED", f"{job.name} was cancelled elsewhere.")
        case _:
            raise job.error or Internal("JOB_FAILED", f"{job.name} failed silently.")


def _signal_number(error: KeyboardInterrupt) -> int:
    return error.signal_number if isinstance(error, Interrupted) else signal.SIGINT

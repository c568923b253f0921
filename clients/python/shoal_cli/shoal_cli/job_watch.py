"""Following a job that another command has made."""

import signal
from collections.abc import Iterator

from shoal_cli.interruption import Interrupted
from shoal_cli.jobs_text import job_id
from shoal_cli.session import Session
from shoal_cli.training.screen import Screen, standard_screen
from shoal_cli.training.story import TrainingStory
from shoal_client import JobState, LogLines, TrainingJob
from shoal_core.errors import FailedPrecondition

_MOST_EVENTS = 500
"""Events in one answer of the orchestrator where more of them wait."""


def watch_job(session: Session, name: str, screen: Screen | None = None) -> int:
    """Shows a job until it has ended; returns 0 if it succeeded, 1 otherwise.

    Raises:
        Interrupted: When somebody has seen enough; the job goes on.
        NotFound: JOB_NOT_FOUND.
        ShoalError: whatever made the job fail.
    """
    try:
        if isinstance(session.patiently(lambda: session.shoal.jobs.get(name)), TrainingJob):
            state = watch_training(session, name, screen or standard_screen()).state
        else:
            state = session.patiently(lambda: _watch_tracking(session, name))
    except KeyboardInterrupt as error:
        message = f"no longer watched; {job_id(name)} stays as it is, also without this command"
        number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
        raise Interrupted(message, number) from error
    print(f"{job_id(name)} {state.value}")
    return 0 if state is JobState.SUCCEEDED else 1


def watch_training(session: Session, name: str, screen: Screen) -> TrainingJob:
    """Shows a training job until it has ended; returns it as it is then.

    Raises:
        NotFound: JOB_NOT_FOUND.
        ShoalError: whatever made the job fail.
    """
    story = TrainingStory()
    session.progress.close()
    try:
        job = session.patiently(lambda: follow_training(session, name, story, screen))
    finally:
        screen.close()
    if job.error is not None:
        raise job.error
    return job


def follow_training(
    session: Session, name: str, story: TrainingStory, screen: Screen
) -> TrainingJob:
    """As `watch_training`, with one connection; called again, it goes on where it was."""
    job = None
    for news in session.shoal.training.watch(name, since=story.last_event_number):
        session.patiently.answered()
        session.ensemble.check()
        told = story.hear(news)
        screen.show(story, told)
        job = news.job
    assert job is not None, "a watch yields the job at least once"
    return job


def log_lines(session: Session, name: str, *, follow: bool) -> Iterator[str]:
    """Yields the lines that the trainers of a job have written, headed by their stages.

    Args:
        session: Where the job is.
        name: projects/{project}/jobs/{job}.
        follow: Whether to go on until the job has ended.

    Raises:
        NotFound: JOB_NOT_FOUND.
        FailedPrecondition: LOGS_MISSING where the job does not train.
    """
    if not isinstance(session.shoal.jobs.get(name), TrainingJob):
        raise FailedPrecondition(
            "LOGS_MISSING",
            f"{job_id(name)} tracks a video; what its worker writes is in the logs that "
            "`shoal status` names.",
        )
    for news in session.shoal.training.watch(name):
        for event in news.events:
            if isinstance(event.what, LogLines):
                yield from (f"{event.stage}: {line}" for line in event.what.lines)
                if event.what.dropped_line_count:
                    yield f"{event.stage}: … {event.what.dropped_line_count} lines are left out"
        if not follow and len(news.events) < _MOST_EVENTS:
            return


def _watch_tracking(session: Session, name: str) -> JobState:
    state = JobState.PENDING
    session.progress.step("tracking")
    for job in session.shoal.jobs.watch(name):
        session.patiently.answered()
        session.progress.update(job.progress.inferred_frame_count, job.progress.total_frame_count)
        state = job.state
        if job.error is not None:
            raise job.error
    session.progress.close()
    return state

"""Jobs as people name and read them."""

from collections.abc import Iterable

from shoal_cli.training.story import epoch_text
from shoal_client import Job, StageProgress, TrainingJob
from shoal_core.errors import InvalidArgument, NotFound

HEADER = ("JOB", "WHAT", "STATE", "PROGRESS", "OF", "CREATED")

_MANY = 3
"""Jobs that an error names."""


def job_id(name: str) -> str:
    """Returns {job} of projects/{project}/jobs/{job}."""
    return name.rpartition("/")[2]


def full_name(given: str, jobs: Iterable[Job | TrainingJob]) -> str:
    """Returns the name of the job that `given` is, or that alone begins so.

    Raises:
        NotFound: JOB_NOT_FOUND.
        InvalidArgument: JOB_AMBIGUOUS.
    """
    if given.startswith("projects/"):
        return given
    matching = []
    for job in jobs:
        if job_id(job.name) == given:
            return job.name
        if job_id(job.name).startswith(given):
            matching.append(job.name)
    if not matching:
        raise NotFound("JOB_NOT_FOUND", f"There is no job {given}; `shoal jobs list` lists them.")
    if len(matching) > 1:
        some = ", ".join(job_id(name) for name in matching[:_MANY])
        raise InvalidArgument(
            "JOB_AMBIGUOUS", f"{len(matching)} jobs begin with {given} ({some}…); give more of it."
        )
    return matching[0]


def job_row(job: Job | TrainingJob) -> tuple[str, ...]:
    """Returns the cells of a job below `HEADER`."""
    is_training = isinstance(job, TrainingJob)
    return (
        job_id(job.name),
        "train" if is_training else "track",
        job.state.value,
        progress_text(job),
        ", ".join(job.labels) if isinstance(job, TrainingJob) else job.video.uri,
        f"{job.create_time:%Y-%m-%d %H:%M}",
    )


def progress_text(job: Job | TrainingJob) -> str:
    """Returns how far a job is."""
    if isinstance(job, TrainingJob):
        return ", ".join(f"{stage.stage} {_epochs_text(stage)}" for stage in job.stages)
    return f"{job.progress.committed_frame_count}/{job.progress.total_frame_count} frames"


def job_lines(job: Job | TrainingJob) -> list[str]:
    """Returns everything about a job that people may want to know."""
    lines = [job.name, f"  {job.state.value}, created {job.create_time:%Y-%m-%d %H:%M}"]
    if job.end_time is not None:
        lines[-1] += f", ended {job.end_time:%Y-%m-%d %H:%M}"
    if job.error is not None:
        lines.append(f"  error {job.error.message}")
    return lines + (_training_lines(job) if isinstance(job, TrainingJob) else _track_lines(job))


def _training_lines(job: TrainingJob) -> list[str]:
    lines = [f"  labels {label}" for label in job.labels]
    for stage in job.stages:
        lines.append(f"  stage {stage.stage}: {stage.state.value}, attempt {stage.attempt}")
        if stage.last_epoch is not None:
            lines.append(f"    {epoch_text(stage.stage, stage.last_epoch)}")
    return lines


def _track_lines(job: Job) -> list[str]:
    progress = job.progress
    return [
        f"  video {job.video.uri}",
        f"  model {job.model_version}",
        f"  {progress_text(job)}, {progress.instance_count} instances",
        f"  result {job.result_label_set}",
    ]


def _epochs_text(stage: StageProgress) -> str:
    last = stage.last_epoch
    if last is None:
        return stage.state.value
    of = f"/{last.epoch_count}" if last.epoch_count else ""
    return f"{last.epoch + 1}{of} epochs"

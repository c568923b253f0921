"""What the ledger keeps, as plain values."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from shoal_core.errors import ShoalError
from shoal_orchestrator.states import JobState
from shoal_orchestrator.training_records import Training


@dataclass(frozen=True)
class FrameSpan:
    """Frames `start` to `stop` (excluded), from 0."""

    start: int
    stop: int


class JobKind(Enum):
    """What a job does, and of what type its specification is."""

    TRACK = "track"
    TRAIN = "train"


class TaskKind(Enum):
    """What a task does, as the oneof of `shoal.jobs.v1.Task`."""

    INFER_SEGMENT = "infer_segment"
    LINK = "link"
    TRAIN = "train"


TRACKING_TASKS = frozenset({TaskKind.INFER_SEGMENT, TaskKind.LINK})
"""What workers do that know of nothing else."""


@dataclass(frozen=True)
class NewTask:
    """A task that is to be done."""

    kind: TaskKind
    stage: int
    """Tasks of a stage wait until all of the stages before are complete."""
    span: FrameSpan
    """Frames that it processes, or among which it processes those that the job has chosen."""
    result_label_set: str
    """Label set that it commits to."""
    source_label_set: str | None = None
    """Label set that it reads, if any."""
    training_stage: str | None = None
    """Id of the stage that it trains; only of kind TRAIN."""


@dataclass(frozen=True)
class NewJob:
    """A job that is to be done; its tasks count from 0 in this order."""

    name: str
    project: str
    spec: bytes
    """What it does; opaque to the ledger."""
    total_frame_count: int
    result_label_set: str
    tasks: tuple[NewTask, ...]
    kind: JobKind = JobKind.TRACK


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    total_frame_count: int
    inferred_frame_count: int = 0
    """Frames inferred, committed or not."""
    committed_frame_count: int = 0
    """Frames whose poses are durable."""
    linked_frame_count: int = 0
    instance_count: int = 0
    """Instances found by inference."""
    first_frame_time_us: int | None = None
    """Microseconds since 1970; None until a frame was inferred."""
    overflow_frame_count: int = 0
    """Inferred frames in which the model found more than it can return."""


@dataclass(frozen=True)
class Job:
    """A job as it is now."""

    name: str
    sequence: int
    """Grows with every new job."""
    state: JobState
    spec: bytes
    result_label_set: str
    progress: Progress
    create_time_us: int
    """Microseconds since 1970."""
    end_time_us: int | None = None
    error: ShoalError | None = field(default=None, compare=False)
    """Why it failed; only in state FAILED, which tells two jobs apart already."""
    kind: JobKind = JobKind.TRACK
    trainings: tuple[Training, ...] = ()
    """The stages of a training job, in their order."""


@dataclass(frozen=True)
class TaskKey:
    """Which task: the job's name and the task's index."""

    job: str
    index: int


@dataclass(frozen=True)
class LeasedTask:
    """A task in a worker's hands."""

    key: TaskKey
    kind: TaskKind
    span: FrameSpan
    fencing_token: int
    attempt_count: int
    """Leases so far that count against the limit, this one included."""
    source_label_set: str | None
    result_label_set: str
    spec: bytes
    """That of its job."""
    training_stage: str | None = None
    """See `NewTask`."""


@dataclass(frozen=True)
class Count:
    """What a task has done so far."""

    frames: int = 0
    instances: int = 0
    overflow_frames: int = 0
    """Frames among them in which the model found more than it can return."""

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.frames + other.frames,
            self.instances + other.instances,
            self.overflow_frames + other.overflow_frames,
        )

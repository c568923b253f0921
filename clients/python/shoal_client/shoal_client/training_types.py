"""Training jobs and sweeps, as plain frozen values."""

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_client.types import JobState
from shoal_core.errors import ShoalError


@dataclass(frozen=True)
class TrainingStage:
    """One network to train."""

    id: str
    """Name among the stages, for example "centroid": the folder of its artifacts."""
    configuration: Mapping[str, Any]
    """The training program's configuration (`TrainingConfig`) as JSON values; where labels lie is
    filled in by whoever trains."""


@dataclass(frozen=True)
class TrainingSpec:
    """Everything that shapes the result of training."""

    labels: tuple[str, ...]
    """Absolute paths or file:// URIs of .slp or .pkg.slp files, as the services see them."""
    stages: tuple[TrainingStage, ...]
    """One, or the two of a top-down model."""
    validation_labels: tuple[str, ...] = ()
    test_labels: tuple[str, ...] = ()
    monitor_endpoints: tuple[str, ...] = ()
    """ZeroMQ endpoints that SLEAP's messages are published to; do not shape the result."""
    label_sets: tuple[str, ...] = ()
    """projects/{project}/labelSets/{label_set}: what is in them now is learned from as well."""


class StageState(enum.Enum):
    """Where a stage of a training job stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Measurement:
    """Numbers that a trainer sent; None where it has not said one."""

    epoch: int
    """From 0."""
    step: int
    """Steps of the optimiser so far."""
    epoch_count: int
    """Epochs that are asked for; 0 where that is not known."""
    loss: float | None = None
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    learning_rate: float | None = None
    samples_per_second: float | None = None
    remaining_s: float | None = None
    """Estimated time until training ends, if nothing stops it earlier."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Every other number by the trainer's name for it."""


@dataclass(frozen=True)
class StageProgress:
    """How far a stage is."""

    stage: str
    state: StageState
    last: Measurement | None
    """Within an epoch."""
    last_epoch: Measurement | None
    """At the end of the last epoch."""
    attempt: int
    """From 1; more where a trainer or its worker was lost."""
    stop_requested: bool


@dataclass(frozen=True)
class TrainingJob:
    """A durable job that trains a model."""

    name: str
    """projects/{project}/jobs/{job}."""
    state: JobState
    labels: tuple[str, ...]
    stages: tuple[StageProgress, ...]
    """In the order in which they were asked for."""
    error: ShoalError | None
    """Why it failed; only in state FAILED."""
    create_time: datetime.datetime
    end_time: datetime.datetime | None


@dataclass(frozen=True)
class Artifact:
    """A file that a job keeps."""

    path: str
    """"{stage}/{path}", for example "centroid/model/shoal_model.json"."""
    byte_count: int
    sha256: str
    """Of its bytes, in hexadecimal."""


@dataclass(frozen=True)
class AttemptBegun:
    """A worker has begun to train."""

    worker_id: str
    resumes: bool
    """Whether it goes on from a checkpoint."""


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is over."""

    measurement: Measurement


@dataclass(frozen=True)
class LogLines:
    """Lines that the trainer wrote."""

    lines: tuple[str, ...]
    dropped_line_count: int
    """Lines left out behind these."""


@dataclass(frozen=True)
class ArtifactKept:
    """A file was uploaded."""

    artifact: Artifact


@dataclass(frozen=True)
class Evaluated:
    """The final evaluation on held-out frames."""

    metrics: Mapping[str, float]
    """By name; names within others are joined by dots."""


class AttemptEnd(enum.Enum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    """The trainer died or was silent for too long: another attempt follows."""


@dataclass(frozen=True)
class AttemptEnded:
    """An attempt is over."""

    end: AttemptEnd
    message: str


Happening = AttemptBegun | EpochEnded | LogLines | ArtifactKept | Evaluated | AttemptEnded


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job; numbers grow."""

    number: int
    time: datetime.datetime
    stage: str
    attempt: int
    what: Happening


@dataclass(frozen=True)
class TrainingNews:
    """A training job as it is now, and what happened to it since the news before."""

    job: TrainingJob
    events: tuple[JobEvent, ...]


@dataclass(frozen=True)
class SweepAxis:
    """A value of the configuration, and what it is set to."""

    key: str
    """Names joined by dots, "data.limit"; "{stage}:data.limit" for one stage only."""
    values: tuple[Any, ...]
    """JSON values."""


@dataclass(frozen=True)
class SweepTrial:
    """One combination of values."""

    job: str
    """projects/{project}/jobs/{job}."""
    values: tuple[Any, ...]
    """Of each axis."""
    state: JobState
    metric_value: float | None
    """The figure that decides; None while there is none."""
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainingSweep:
    """Training jobs that are compared."""

    name: str
    """projects/{project}/sweeps/{sweep}."""
    axes: tuple[SweepAxis, ...]
    metric: str
    stage: str
    minimise: bool
    trials: tuple[SweepTrial, ...]
    """The first axis varies slowest."""
    best_trial_index: int | None
    create_time: datetime.datetime

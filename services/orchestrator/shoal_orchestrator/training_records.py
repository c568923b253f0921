"""What the ledger keeps of training, as plain values; protobuf messages are opaque bytes here."""

from dataclasses import dataclass

from shoal_orchestrator.states import TaskState


@dataclass(frozen=True)
class Training:
    """How far a stage of a training job is."""

    stage: str
    """Its id."""
    state: TaskState
    attempt: int
    """Leases so far."""
    stop_requested: bool
    last_epoch: bytes | None
    """The `TrainingMeasurement` of the last epoch that ended."""
    metrics: bytes | None
    """The `TrainingMetrics` of the final evaluation."""
    last: bytes | None = None
    """The `TrainingMeasurement` that came last, which the disk does not know."""
    heard_time_us: int | None = None
    """When its trainer was heard of last, as long as it is leased; microseconds since 1970."""


@dataclass(frozen=True)
class Control:
    """What a trainer is to be told."""

    stop_requested: bool
    learning_rate: float | None
    """None unless one was set under the running lease."""
    learning_rate_change: int
    """Grows with every rate that is set."""


@dataclass(frozen=True)
class NewEvent:
    """Something that a worker has to tell."""

    report_number: int
    """Counts from 1 under each lease: what is told twice is kept once."""
    payload: bytes
    """The `JobEvent`, without what the ledger knows."""
    epoch: int | None = None
    """The epoch that has ended, if that is what happened."""
    last_epoch: bytes | None = None
    """See `Training`; set with `epoch`."""
    metrics: bytes | None = None
    """See `Training`; set if that is what happened."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    number: int
    """Grows within the job, from 1."""
    time_us: int
    """Microseconds since 1970."""
    stage: str
    attempt: int
    payload: bytes
    """See `NewEvent`."""


@dataclass(frozen=True)
class Artifact:
    """A file that a job keeps."""

    path: str
    """{stage}/{path within the stage}."""
    byte_count: int
    sha256: str
    update_time_us: int
    """Microseconds since 1970."""


@dataclass(frozen=True)
class Sweep:
    """Training jobs that are compared."""

    name: str
    sequence: int
    """Grows with every new sweep."""
    document: bytes
    """The `TrainingSweep`, without what its jobs have achieved."""
    create_time_us: int
    """Microseconds since 1970."""

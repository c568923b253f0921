"""Protobuf ↔ the orchestrator's own values, of training."""

import re
from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from shoal.jobs.v1 import jobs_pb2, training_pb2
from shoal_core.errors import InvalidArgument
from shoal_orchestrator.records import LeasedTask
from shoal_orchestrator.states import TaskState
from shoal_orchestrator.training_records import Artifact, Control, Event, NewEvent, Training

MAX_ARTIFACT_BYTES = 4 << 30
_MAX_PATH_LENGTH = 255
_PATH_PART = re.compile(r"[A-Za-z0-9_ .-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_EVENTS = 500
_REPORTED = ("begun", "epoch_ended", "log", "metrics", "ended")

_STAGE_STATES = {
    TaskState.PENDING: training_pb2.TRAINING_STAGE_STATE_PENDING,
    TaskState.LEASED: training_pb2.TRAINING_STAGE_STATE_RUNNING,
    TaskState.COMPLETE: training_pb2.TRAINING_STAGE_STATE_SUCCEEDED,
    TaskState.FAILED: training_pb2.TRAINING_STAGE_STATE_FAILED,
}


def train_task(task: LeasedTask) -> jobs_pb2.TrainTask:
    """Returns what a worker must know to train a stage."""
    spec = training_pb2.TrainingJobSpec.FromString(task.spec)
    stages = [stage for stage in spec.stages if stage.id == task.training_stage]
    del spec.stages[:]
    spec.stages.extend(stages)
    return jobs_pb2.TrainTask(spec=spec, attempt=task.fencing_token)


def progress(training: Training) -> training_pb2.TrainingProgress:
    """Returns the wire form of how far a stage is."""
    return training_pb2.TrainingProgress(
        stage=training.stage,
        state=_STAGE_STATES[training.state],
        last=_measurement(training.last),
        last_epoch=_measurement(training.last_epoch),
        attempt=training.attempt,
        stop_requested=training.stop_requested,
        heard_time=None if training.heard_time_us is None else _time(training.heard_time_us),
    )


def control(value: Control) -> jobs_pb2.TrainingControl:
    """Returns the wire form of what a trainer is to be told."""
    return jobs_pb2.TrainingControl(
        stop_requested=value.stop_requested,
        learning_rate=value.learning_rate,
        learning_rate_change=value.learning_rate_change,
    )


def event(value: Event) -> training_pb2.JobEvent:
    """Returns the wire form of an event."""
    message = training_pb2.JobEvent.FromString(value.payload)
    message.number = value.number
    message.time.CopyFrom(_time(value.time_us))
    message.stage = value.stage
    message.attempt = value.attempt
    return message


def new_events(messages: Sequence[training_pb2.JobEvent]) -> list[NewEvent]:
    """Returns what a worker tells.

    Raises:
        InvalidArgument: PARAMETER_INVALID for events that are not a worker's to tell, or
            without their order.
    """
    if len(messages) > _MAX_EVENTS:
        raise invalid("events", len(messages), f"at most {_MAX_EVENTS}")
    return list(map(_new_event, messages))


def artifact_event(value: Artifact) -> bytes:
    """Returns the event that a file was uploaded."""
    return training_pb2.JobEvent(artifact=artifact(value)).SerializeToString()


def artifact(value: Artifact) -> training_pb2.Artifact:
    """Returns the wire form of a file."""
    return training_pb2.Artifact(
        path=value.path,
        byte_count=value.byte_count,
        sha256=value.sha256,
        update_time=_time(value.update_time_us),
    )


def new_artifact(header: jobs_pb2.ArtifactHeader, stage: str) -> Artifact:
    """Returns the file that is being uploaded for a stage, without its time.

    Raises:
        InvalidArgument: PATH_INVALID or PARAMETER_INVALID, also for a file that is too large.
    """
    parts = header.path.split("/")
    if len(header.path) > _MAX_PATH_LENGTH or not all(map(_is_path_part, parts)):
        raise InvalidArgument(
            "PATH_INVALID",
            f"{header.path!r} cannot name a file of a job; use names of letters, digits, '.', "
            f"'_', '-' and spaces, joined by '/', at most {_MAX_PATH_LENGTH} characters.",
            path=header.path,
        )
    if not 0 <= header.byte_count <= MAX_ARTIFACT_BYTES:
        raise invalid("byte_count", header.byte_count, f"0 to {MAX_ARTIFACT_BYTES}")
    if _SHA256.fullmatch(header.sha256) is None:
        raise invalid("sha256", header.sha256, "64 hexadecimal digits")
    return Artifact(f"{stage}/{header.path}", header.byte_count, header.sha256, 0)


def metrics(trainings: Iterable[Training], stage: str) -> training_pb2.TrainingMetrics | None:
    """Returns the figures of a stage's evaluation; None while there are none."""
    for training in trainings:
        if training.stage == stage and training.metrics is not None:
            return training_pb2.TrainingMetrics.FromString(training.metrics)
    return None


def _is_path_part(part: str) -> bool:
    return _PATH_PART.fullmatch(part) is not None and part not in (".", "..")


def _new_event(message: training_pb2.JobEvent) -> NewEvent:
    kind = message.WhichOneof("event")
    if kind not in _REPORTED:
        raise invalid("event", kind, f"one of {', '.join(_REPORTED)}")
    if message.number < 1:
        raise invalid("number", message.number, "1 or more")
    payload = training_pb2.JobEvent()
    payload.CopyFrom(message)
    for field in ("number", "time", "stage", "attempt"):
        payload.ClearField(field)
    is_epoch, is_metrics = kind == "epoch_ended", kind == "metrics"
    return NewEvent(
        report_number=message.number,
        payload=payload.SerializeToString(),
        epoch=message.epoch_ended.epoch if is_epoch else None,
        last_epoch=message.epoch_ended.SerializeToString() if is_epoch else None,
        metrics=message.metrics.SerializeToString() if is_metrics else None,
    )


def _measurement(payload: bytes | None) -> training_pb2.TrainingMeasurement | None:
    return None if payload is None else training_pb2.TrainingMeasurement.FromString(payload)


def _time(time_us: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMicroseconds(time_us)
    return timestamp


def invalid(field: str, value: object, allowed: str) -> InvalidArgument:
    """Returns the error of a field that is not what it must be."""
    return InvalidArgument(
        "PARAMETER_INVALID",
        f"{field} is {value!r}; it must be {allowed}.",
        field=field,
        value=value,
        allowed=allowed,
    )

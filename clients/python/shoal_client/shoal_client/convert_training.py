"""Protobuf ↔ the SDK's types of training. Protobuf stops here."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from shoal.jobs.v1 import jobs_pb2, sweeps_pb2, training_pb2
from shoal_client import convert
from shoal_client.training_types import (
    Artifact,
    ArtifactKept,
    AttemptBegun,
    AttemptEnd,
    AttemptEnded,
    EpochEnded,
    Evaluated,
    Happening,
    JobEvent,
    LogLines,
    Measurement,
    StageProgress,
    StageState,
    SweepAxis,
    SweepTrial,
    TrainingJob,
    TrainingSpec,
    TrainingSweep,
)
from shoal_common.status import from_status
from shoal_core.errors import InvalidArgument

_STAGE_STATES = {
    training_pb2.TRAINING_STAGE_STATE_PENDING: StageState.PENDING,
    training_pb2.TRAINING_STAGE_STATE_RUNNING: StageState.RUNNING,
    training_pb2.TRAINING_STAGE_STATE_SUCCEEDED: StageState.SUCCEEDED,
    training_pb2.TRAINING_STAGE_STATE_FAILED: StageState.FAILED,
}
_ENDS = {
    training_pb2.TRAINING_END_COMPLETED: AttemptEnd.COMPLETED,
    training_pb2.TRAINING_END_FAILED: AttemptEnd.FAILED,
    training_pb2.TRAINING_END_LOST: AttemptEnd.LOST,
}


def spec_message(spec: TrainingSpec) -> training_pb2.TrainingJobSpec:
    """Returns the wire form of a specification."""
    return training_pb2.TrainingJobSpec(
        labels=[training_pb2.LabelsFile(uri=uri) for uri in spec.labels],
        validation_labels=[training_pb2.LabelsFile(uri=uri) for uri in spec.validation_labels],
        test_labels=[training_pb2.LabelsFile(uri=uri) for uri in spec.test_labels],
        stages=[
            training_pb2.TrainingStage(
                id=stage.id, configuration_json=json.dumps(dict(stage.configuration))
            )
            for stage in spec.stages
        ],
        monitor_endpoints=spec.monitor_endpoints,
        label_sets=[training_pb2.LabelSetRevision(name=name) for name in spec.label_sets],
    )


def axis_message(axis: SweepAxis) -> sweeps_pb2.SweepAxis:
    """Returns the wire form of an axis."""
    return sweeps_pb2.SweepAxis(key=axis.key, values_json=[json.dumps(v) for v in axis.values])


def training_job(message: jobs_pb2.Job) -> TrainingJob:
    """Returns the training job of a message.

    Raises:
        InvalidArgument: JOB_STATE_UNKNOWN when the service is newer than this SDK, JOB_NOT_TRAINING
            when the job does something else.
    """
    if not message.HasField("training"):
        raise InvalidArgument(
            "JOB_NOT_TRAINING", f"{message.name} does not train; give a job that does."
        )
    return TrainingJob(
        name=message.name,
        state=convert.job_state(message.state, message.name),
        labels=tuple(
            [file.uri for file in message.training.labels]
            + [label_set.name for label_set in message.training.label_sets]
        ),
        stages=tuple(map(_stage_progress, message.training_progress)),
        error=from_status(message.error) if message.HasField("error") else None,
        create_time=convert.time(message.create_time),
        end_time=convert.optional_time(message, "end_time"),
    )


def event(message: training_pb2.JobEvent) -> JobEvent | None:
    """Returns the event of a message; None for a kind that this SDK does not know yet."""
    what = _happening(message)
    if what is None:
        return None
    return JobEvent(
        number=message.number,
        time=convert.time(message.time),
        stage=message.stage,
        attempt=message.attempt,
        what=what,
    )


def artifact(message: training_pb2.Artifact) -> Artifact:
    """Returns the artifact of a message."""
    return Artifact(path=message.path, byte_count=message.byte_count, sha256=message.sha256)


def sweep(message: sweeps_pb2.TrainingSweep) -> TrainingSweep:
    """Returns the sweep of a message."""
    return TrainingSweep(
        name=message.name,
        axes=tuple(SweepAxis(axis.key, _json_values(axis)) for axis in message.axes),
        metric=message.metric,
        stage=message.stage,
        minimise=message.minimise,
        trials=tuple(map(_trial, message.trials)),
        best_trial_index=_optional(message, "best_trial_index"),
        create_time=convert.time(message.create_time),
    )


def _trial(message: sweeps_pb2.SweepTrial) -> SweepTrial:
    return SweepTrial(
        job=message.job,
        values=_json_values(message),
        state=convert.job_state(message.state, message.job),
        metric_value=_optional(message, "metric_value"),
        metrics=dict(message.metrics.values),
    )


def _json_values(message: sweeps_pb2.SweepAxis | sweeps_pb2.SweepTrial) -> tuple[Any, ...]:
    return tuple(json.loads(value) for value in message.values_json)


def _stage_progress(message: training_pb2.TrainingProgress) -> StageProgress:
    return StageProgress(
        stage=message.stage,
        state=_STAGE_STATES[message.state],
        last=_measurement(message.last) if message.HasField("last") else None,
        last_epoch=_measurement(message.last_epoch) if message.HasField("last_epoch") else None,
        attempt=message.attempt,
        stop_requested=message.stop_requested,
    )


def _measurement(message: training_pb2.TrainingMeasurement) -> Measurement:
    remaining_ms = _optional(message, "remaining_ms")
    return Measurement(
        epoch=message.epoch,
        step=message.step,
        epoch_count=message.epoch_count,
        loss=_optional(message, "loss"),
        validation_loss=_optional(message, "validation_loss"),
        best_validation_loss=_optional(message, "best_validation_loss"),
        learning_rate=_optional(message, "learning_rate"),
        samples_per_second=_optional(message, "samples_per_second"),
        remaining_s=None if remaining_ms is None else remaining_ms / 1000,
        values=dict(message.values),
    )


def _happening(message: training_pb2.JobEvent) -> Happening | None:
    name = message.WhichOneof("event")
    read = None if name is None else _HAPPENINGS.get(name)
    return None if read is None else read(getattr(message, name or ""))


_HAPPENINGS: Mapping[str, Callable[[Any], Happening]] = {
    "begun": lambda begun: AttemptBegun(begun.worker_id, begun.resumes),
    "epoch_ended": lambda measured: EpochEnded(_measurement(measured)),
    "log": lambda log: LogLines(tuple(log.lines), log.dropped_line_count),
    "artifact": lambda kept: ArtifactKept(artifact(kept)),
    "metrics": lambda metrics: Evaluated(dict(metrics.values)),
    "ended": lambda ended: AttemptEnded(_ENDS[ended.end], ended.message),
}


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None

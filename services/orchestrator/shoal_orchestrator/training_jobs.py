"""From what somebody asks to train to a job: checked, resolved, named after its contents."""

import copy
import json
import re
from collections.abc import Iterable
from typing import Any

from shoal.jobs.v1 import training_pb2
from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_orchestrator.peers import TrainingLabels
from shoal_orchestrator.planning import TRAINING_JOB, content_id
from shoal_orchestrator.records import FrameSpan, JobKind, NewJob, NewTask, TaskKind

_MAX_STAGES = 8
_MAX_CONFIGURATION_BYTES = 1 << 20
_STAGE_ID = re.compile(r"[a-z0-9_]{1,63}")
_FILLED_IN = ("labels", "validation_labels", "test_labels")
"""Values of `data` that the worker sets."""


async def resolve(
    asked: training_pb2.TrainingJobSpec, training_labels: TrainingLabels | None
) -> training_pb2.TrainingJobSpec:
    """Returns the specification with the contents of its files and checked stages.

    Raises:
        InvalidArgument: STAGES_INVALID or PARAMETER_INVALID.
        FailedPrecondition: LABELS_SERVICE_MISSING.
        ShoalError: Those of `shoal.labels.v1.ProbeLabels`.
    """
    if not asked.labels and not asked.label_sets:
        raise InvalidArgument(
            "PARAMETER_INVALID",
            "No labels are given; give at least one file or label set.",
            field="labels",
        )
    if training_labels is None:
        raise FailedPrecondition(
            "LABELS_SERVICE_MISSING",
            "This orchestrator knows no label store to read labels with; set labels_target.",
        )
    stages = _checked(asked.stages)
    return training_pb2.TrainingJobSpec(
        labels=await _probed(asked.labels, training_labels),
        validation_labels=await _probed(asked.validation_labels, training_labels),
        test_labels=await _probed(asked.test_labels, training_labels),
        label_sets=[
            training_pb2.LabelSetRevision(
                name=each.name, revision=await training_labels.revision(each.name)
            )
            for each in asked.label_sets
        ],
        stages=stages,
        monitor_endpoints=asked.monitor_endpoints,
    )


def new_training_job(project: str, spec: training_pb2.TrainingJobSpec) -> NewJob:
    """Returns the job of a resolved specification.

    Its name follows from the contents of the labels and from the configurations, but for
    where files lie and who listens.
    """
    job_id = content_id(TRAINING_JOB, _identity(spec))
    return NewJob(
        name=f"projects/{project}/jobs/{job_id}",
        project=project,
        kind=JobKind.TRAIN,
        spec=spec.SerializeToString(deterministic=True),
        total_frame_count=0,
        result_label_set="",
        tasks=tuple(
            NewTask(TaskKind.TRAIN, 0, FrameSpan(0, 0), "", training_stage=stage.id)
            for stage in spec.stages
        ),
    )


def _identity(spec: training_pb2.TrainingJobSpec) -> Iterable[bytes]:
    for files in (spec.labels, spec.validation_labels, spec.test_labels):
        yield json.dumps([file.content_hash for file in files]).encode()
    yield json.dumps([each.revision for each in spec.label_sets]).encode()
    for stage in spec.stages:
        document = json.loads(stage.configuration_json)
        document.pop("monitor", None)
        if isinstance(document.get("data"), dict):
            for key in _FILLED_IN:
                document["data"].pop(key, None)
        yield stage.id.encode()
        yield _canonical(document).encode()


async def _probed(
    files: Iterable[training_pb2.LabelsFile], training_labels: TrainingLabels
) -> list[training_pb2.LabelsFile]:
    probed = [await training_labels.probe(file.uri) for file in files]
    return [
        training_pb2.LabelsFile(uri=file.uri, content_hash=file.content_hash) for file in probed
    ]


def _checked(stages: Iterable[training_pb2.TrainingStage]) -> list[training_pb2.TrainingStage]:
    checked = [
        training_pb2.TrainingStage(id=stage.id, configuration_json=_canonical(configuration(stage)))
        for stage in stages
    ]
    ids = [stage.id for stage in checked]
    if not 1 <= len(ids) <= _MAX_STAGES or len(set(ids)) < len(ids):
        raise stages_invalid(f"The stages are {ids}; give 1 to {_MAX_STAGES} of different ids")
    for stage_id in ids:
        if _STAGE_ID.fullmatch(stage_id) is None:
            raise stages_invalid(
                f"{stage_id!r} cannot name a stage; use lower-case letters, digits and '_'"
            )
    return checked


def configuration(stage: training_pb2.TrainingStage) -> dict[str, Any]:
    """Returns the configuration of a stage as JSON values.

    Raises:
        InvalidArgument: STAGES_INVALID.
    """
    if len(stage.configuration_json) > _MAX_CONFIGURATION_BYTES:
        raise stages_invalid(f"The configuration of {stage.id!r} is longer than 1 MiB; shorten it")
    try:
        document = json.loads(stage.configuration_json)
    except (ValueError, RecursionError) as error:
        raise stages_invalid(f"The configuration of {stage.id!r} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise stages_invalid(f"The configuration of {stage.id!r} is no JSON object; give one")
    return document


def with_value(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Returns a copy of a configuration with the value at `key`, names joined by dots.

    Raises:
        InvalidArgument: STAGES_INVALID when the key leads through something that is no object.
    """
    changed = copy.deepcopy(document)
    *path, last = key.split(".")
    place: Any = changed
    for name in path:
        place = place.setdefault(name, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not all((*path, last)):
        raise stages_invalid(f"{key!r} is no place in the configuration; give names of values")
    place[last] = value
    return changed


def stages_invalid(complaint: str) -> InvalidArgument:
    """Returns the error of stages that cannot be trained; `complaint` has no full stop."""
    return InvalidArgument("STAGES_INVALID", f"{complaint}.")


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))

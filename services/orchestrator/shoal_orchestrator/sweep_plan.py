"""What a sweep consists of: one specification for each combination of values."""

import itertools
import json
import math
from collections.abc import Sequence

from shoal.jobs.v1 import sweeps_pb2, training_pb2
from shoal_core.errors import InvalidArgument
from shoal_orchestrator.planning import SWEEP, content_id
from shoal_orchestrator.records import NewJob
from shoal_orchestrator.training_jobs import configuration, with_value

_MAX_TRIALS = 1000


def combinations(axes: Sequence[sweeps_pb2.SweepAxis]) -> list[tuple[str, ...]]:
    """Returns the values of each trial as JSON, in the order of the axes.

    Raises:
        InvalidArgument: SWEEP_INVALID.
    """
    for axis in axes:
        for value in axis.values_json:
            _check_json(axis.key, value)
    if not axes or not all(axis.key and axis.values_json for axis in axes):
        raise _invalid("An axis is missing its key or its values; give at least one of each")
    count = math.prod(len(axis.values_json) for axis in axes)
    if count > _MAX_TRIALS:
        raise _invalid(f"The values make {count} combinations; give at most {_MAX_TRIALS}")
    return list(itertools.product(*(axis.values_json for axis in axes)))


def trial_spec(
    base: training_pb2.TrainingJobSpec,
    axes: Sequence[sweeps_pb2.SweepAxis],
    values_json: Sequence[str],
) -> training_pb2.TrainingJobSpec:
    """Returns the specification of one trial.

    Raises:
        InvalidArgument: SWEEP_INVALID for a stage that is not there, STAGES_INVALID for a
            place that is none.
    """
    spec = training_pb2.TrainingJobSpec()
    spec.CopyFrom(base)
    ids = [stage.id for stage in spec.stages]
    for axis, value in zip(axes, values_json, strict=True):
        stage_id, colon, key = axis.key.rpartition(":")
        if colon and stage_id not in ids:
            raise _invalid(f"{axis.key!r} names a stage that is not among {', '.join(ids)}")
        for stage in spec.stages:
            if not colon or stage.id == stage_id:
                changed = with_value(configuration(stage), key, json.loads(value))
                stage.configuration_json = json.dumps(changed, sort_keys=True)
    return spec


def new_sweep(
    project: str,
    request: sweeps_pb2.CreateTrainingSweepRequest,
    trials: Sequence[tuple[str, ...]],
    jobs: Sequence[NewJob],
) -> sweeps_pb2.TrainingSweep:
    """Returns the sweep of a request, whose name follows from its jobs and its figure.

    Raises:
        InvalidArgument: SWEEP_INVALID.
    """
    ids = [stage.id for stage in request.base.stages]
    stage = request.stage or ids[-1]
    if stage not in ids or not request.metric:
        raise _invalid(f"The figure {request.metric!r} of {stage!r} decides nothing; name both")
    identity = [request.metric, stage, str(request.minimise), *(job.name for job in jobs)]
    sweep_id = content_id(SWEEP, (part.encode() for part in identity))
    return sweeps_pb2.TrainingSweep(
        name=f"projects/{project}/sweeps/{sweep_id}",
        axes=request.axes,
        metric=request.metric,
        stage=stage,
        minimise=request.minimise,
        trials=[
            sweeps_pb2.SweepTrial(job=job.name, values_json=values)
            for job, values in zip(jobs, trials, strict=True)
        ],
    )


def best_trial(sweep: sweeps_pb2.TrainingSweep, succeeded: Sequence[bool]) -> int | None:
    """Returns the index of the best trial among those that succeeded; None while there is none."""
    sign = -1 if sweep.minimise else 1
    scores = {
        index: sign * trial.metric_value
        for index, trial in enumerate(sweep.trials)
        if succeeded[index]
        and trial.HasField("metric_value")
        and not math.isnan(trial.metric_value)
    }
    return max(scores, key=lambda index: scores[index], default=None)


def _check_json(key: str, value: str) -> None:
    try:
        json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{value!r} for {key!r} is no JSON; quote text") from error


def _invalid(complaint: str) -> InvalidArgument:
    return InvalidArgument("SWEEP_INVALID", f"{complaint}.")

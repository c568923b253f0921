"""The task that trains one network."""

import asyncio
import hashlib
import json
import logging
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.jobs.v1 import jobs_pb2_grpc, training_pb2
from shoal_common.roots import AllowedRoots
from shoal_core.errors import FailedPrecondition, InvalidArgument, NotFound, ShoalError, Unavailable
from shoal_worker.label_sets import LabelSets
from shoal_worker.patience import patiently
from shoal_worker.queue import Lease
from shoal_worker.training.artifacts import RunArtifacts
from shoal_worker.training.attempt import Attempt, Outcome
from shoal_worker.training.messages import metrics
from shoal_worker.training.monitor import Monitor
from shoal_worker.training.reporter import Reporter
from shoal_worker.training.run_folders import RunFolders
from shoal_worker.training.trainer import checked_command

logger = logging.getLogger(__name__)

_REFUSED = 2
"""Exit status of a trainer that cannot go on, with the reason in its last line."""


@dataclass(frozen=True)
class TrainerSettings:
    """How this worker trains."""

    command: Sequence[str]
    """See `checked_command`."""
    stall_seconds: float
    """A trainer that is not heard of for so long is killed."""
    push_seconds: float
    """Time between two looks for files to upload."""


class TrainingWork:
    """Does train tasks."""

    def __init__(
        self,
        *,
        jobs: "jobs_pb2_grpc.JobsServiceAsyncStub",
        queue: "jobs_pb2_grpc.WorkQueueServiceAsyncStub",
        label_sets: LabelSets,
        folders: RunFolders,
        roots: AllowedRoots,
        settings: TrainerSettings,
        worker_id: str,
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._label_sets = label_sets
        self._folders = folders
        self._roots = roots
        self._settings = settings
        self._worker_id = worker_id

    async def run(self, lease: Lease) -> None:
        """Trains to the end; the model and everything beside it is then among the artifacts.

        Raises:
            FailedPrecondition: TRAINER_MISSING, LABELS_CHANGED or TRAINING_REFUSED.
            NotFound: LABELS_NOT_FOUND.
            Unavailable: TRAINER_DIED or TRAINER_STALLED; the last checkpoint is kept.
        """
        command = checked_command(self._settings.command)
        labels = await self._labels(lease.task.train.spec)
        reporter = Reporter(lease.task, self._queue)
        with self._folders.new() as folder, Monitor(folder) as monitor:
            run_folder = folder / "run"
            run_folder.mkdir()
            if lease.task.train.spec.label_sets:
                exported = folder / "labels.slp"
                await self._label_sets.export(lease.task.train.spec.label_sets, exported)
                labels["labels"].append(str(exported))
            artifacts = RunArtifacts(lease.task, run_folder, jobs=self._jobs, queue=self._queue)
            resumes = await patiently("orchestrator", artifacts.fetch)
            _move_labels(run_folder / "config.json", labels)
            configuration = folder / "configuration.json"
            document = _configuration(lease.task.train.spec, labels, monitor)
            configuration.write_text(json.dumps(document))
            begun = training_pb2.TrainingBegun(worker_id=self._worker_id, resumes=resumes)
            reporter.happened(training_pb2.JobEvent(begun=begun))
            await reporter.finish()  # before the first file is uploaded
            attempt = Attempt(
                lease=lease,
                monitor=monitor,
                reporter=reporter,
                artifacts=artifacts,
                run_folder=run_folder,
                stall_seconds=self._settings.stall_seconds,
                push_seconds=self._settings.push_seconds,
            )
            arguments = [str(configuration), "-o", str(run_folder), "--resume"]
            outcome = await attempt.run([*command, *arguments])
            await artifacts.push_all()
            error = _error(outcome, self._settings.stall_seconds)
            if error is None:
                _tell_metrics(run_folder / "metrics.json", reporter)
            reporter.happened(_ended(error))
            await reporter.finish()
        if error is not None:
            raise error

    async def _labels(self, spec: training_pb2.TrainingJobSpec) -> dict[str, list[str]]:
        """Returns the paths of the files of labels, by the keys of the configuration."""
        return {
            "labels": await self._checked(spec.labels),
            "validation_labels": await self._checked(spec.validation_labels),
            "test_labels": await self._checked(spec.test_labels),
        }

    async def _checked(self, files: Iterable[training_pb2.LabelsFile]) -> list[str]:
        paths = []
        for file in files:
            path = self._roots.resolve(file.uri)
            if not path.is_file():
                raise NotFound("LABELS_NOT_FOUND", f"There is no file {path}.", path=path)
            if await asyncio.to_thread(_sha256, path) != file.content_hash:
                raise FailedPrecondition(
                    "LABELS_CHANGED",
                    f"{path} has changed since the job was created; create the job anew.",
                    path=path,
                )
            paths.append(str(path))
        return paths


def _configuration(
    spec: training_pb2.TrainingJobSpec, labels: dict[str, list[str]], monitor: Monitor
) -> dict[str, Any]:
    """Returns the configuration of the stage with what only its worker knows.

    Raises:
        InvalidArgument: CONFIGURATION_INVALID when `data` or `monitor` is no JSON object.
    """
    document: dict[str, Any] = json.loads(spec.stages[0].configuration_json)
    asked = document.get("monitor", {})
    if not isinstance(asked, dict) or not isinstance(document.get("data", {}), dict):
        raise InvalidArgument(
            "CONFIGURATION_INVALID",
            f"`data` and `monitor` of stage {spec.stages[0].id} must be JSON objects.",
            stage=spec.stages[0].id,
        )
    publish = [*asked.get("publish", ()), *spec.monitor_endpoints, monitor.publish_endpoint]
    control = [*asked.get("control", ()), monitor.control_endpoint]
    document["monitor"] = {**asked, "publish": publish, "control": control}
    document["data"] = {**document.get("data", {}), **labels}
    return document


def _move_labels(configuration: Path, labels: dict[str, list[str]]) -> None:
    """Tells the run of an earlier attempt where its labels, the same bytes, lie now."""
    if configuration.exists():
        document = json.loads(configuration.read_text())
        document["data"] = {**document.get("data", {}), **labels}
        configuration.write_text(json.dumps(document))


def _error(outcome: Outcome, stall_seconds: float) -> ShoalError | None:
    last_line = outcome.last_lines[-1] if outcome.last_lines else "It wrote nothing."
    if outcome.status == 0:
        return None
    if outcome.stalled:
        return Unavailable(
            "TRAINER_STALLED",
            f"Nothing was heard of the trainer for {stall_seconds:g} s, so that it was killed; its "
            "last checkpoint is kept.",
            seconds=stall_seconds,
        )
    if outcome.status == _REFUSED:
        return FailedPrecondition("TRAINING_REFUSED", last_line.removeprefix("shoal_training: "))
    how = f"exit status {outcome.status}"
    if outcome.status > 128 and outcome.status - 128 in set(signal.Signals):
        how = signal.Signals(outcome.status - 128).name
    return Unavailable(
        "TRAINER_DIED",
        f"The trainer died ({how}), its last checkpoint is kept; its last words: {last_line}",
        status=outcome.status,
    )


def _ended(error: ShoalError | None) -> training_pb2.JobEvent:
    end = training_pb2.TRAINING_END_COMPLETED
    if isinstance(error, FailedPrecondition):
        end = training_pb2.TRAINING_END_FAILED
    elif error is not None:
        end = training_pb2.TRAINING_END_LOST
    message = "" if error is None else error.message
    return training_pb2.JobEvent(ended=training_pb2.TrainingEnded(end=end, message=message))


def _tell_metrics(path: Path, reporter: Reporter) -> None:
    try:
        values = metrics(json.loads(path.read_text()))
    except FileNotFoundError:
        return  # nothing was held out
    except ValueError as error:
        logger.warning("%s is no JSON: %s", path, error)
        return
    reporter.happened(training_pb2.JobEvent(metrics=training_pb2.TrainingMetrics(values=values)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

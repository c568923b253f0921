"""Training jobs and sweeps, through shoal.jobs.v1."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import grpc

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc, sweeps_pb2, sweeps_pb2_grpc
from shoal_client import convert_training as convert
from shoal_client.limits import PAGE_SIZE, PROBE_S, QUICK_S, TRANSFER_S
from shoal_client.training_types import (
    Artifact,
    SweepAxis,
    TrainingJob,
    TrainingNews,
    TrainingSpec,
    TrainingSweep,
)
from shoal_common.status import typed_errors
from shoal_core.errors import DataLoss, DeadlineExceeded, Unavailable


class Training:
    """Durable training of one project's models; `Jobs` lists, cancels and retries it."""

    def __init__(self, channel: grpc.Channel, peer: str, project: str) -> None:
        self._stub = jobs_pb2_grpc.JobsServiceStub(channel)
        self._sweeps = sweeps_pb2_grpc.TrainingSweepsServiceStub(channel)
        self._peer = peer
        self._parent = f"projects/{project}"

    def create(self, spec: TrainingSpec) -> TrainingJob:
        """Returns the job that trains; the same request returns, and resumes, the same one.

        Raises:
            NotFound: LABELS_NOT_FOUND.
            InvalidArgument: LABELS_UNREADABLE, STAGES_INVALID or PARAMETER_INVALID.
        """
        request = jobs_pb2.CreateTrainingJobRequest(
            parent=self._parent, spec=convert.spec_message(spec)
        )
        with typed_errors(self._peer):
            response = self._stub.CreateTrainingJob(request, timeout=PROBE_S)
        return convert.training_job(response.job)

    def watch(self, name: str, *, since: int = 0, period_s: float = 2.0) -> Iterator[TrainingNews]:
        """Yields the job as it is now, after every change and at least every `period_s`.

        Every event after number `since` comes once, in order. Ends with the job. Leaving the loop
        early leaves the job running.

        Raises:
            NotFound: JOB_NOT_FOUND.
            InvalidArgument: JOB_NOT_TRAINING.
            Unavailable: the orchestrator cannot be reached (any more).
        """
        while True:
            last: TrainingNews | None = None
            try:
                for news in self._news(name, since, period_s):
                    since = max((since, *(event.number for event in news.events)))
                    last = news
                    yield news
            except DeadlineExceeded:
                if last is None:
                    raise
                continue  # also if the job has ended: more pages of its events may follow
            if last is None:
                raise Unavailable("WATCH_ENDED", f"{self._peer} says nothing about {name}.")
            if last.job.state.has_ended:
                return

    def stop(self, name: str, *, stage: str = "") -> TrainingJob:
        """Asks a job to finish cleanly: the best weights so far become its model.

        Args:
            name: projects/{project}/jobs/{job}.
            stage: Which stage; "" for all that have begun.

        Raises:
            NotFound: JOB_NOT_FOUND or STAGE_NOT_FOUND.
            FailedPrecondition: TRAINING_NOT_RUNNING.
        """
        request = jobs_pb2.StopTrainingRequest(name=name, stage=stage)
        with typed_errors(self._peer):
            response = self._stub.StopTraining(request, timeout=QUICK_S)
        return convert.training_job(response.job)

    def set_learning_rate(self, name: str, learning_rate: float, *, stage: str = "") -> TrainingJob:
        """Changes the learning rate of a stage that is running; "" for all of them.

        Raises:
            NotFound: JOB_NOT_FOUND or STAGE_NOT_FOUND.
            InvalidArgument: PARAMETER_INVALID.
            FailedPrecondition: TRAINING_NOT_RUNNING.
        """
        request = jobs_pb2.SetLearningRateRequest(
            name=name, stage=stage, learning_rate=learning_rate
        )
        with typed_errors(self._peer):
            response = self._stub.SetLearningRate(request, timeout=QUICK_S)
        return convert.training_job(response.job)

    def artifacts(self, name: str, *, prefix: str = "") -> Iterator[Artifact]:
        """Yields the files of a job whose path begins with `prefix`, by path.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        page_token = ""
        while True:
            request = jobs_pb2.ListArtifactsRequest(
                parent=name, prefix=prefix, page_size=PAGE_SIZE, page_token=page_token
            )
            with typed_errors(self._peer):
                response = self._stub.ListArtifacts(request, timeout=QUICK_S)
            yield from map(convert.artifact, response.artifacts)
            page_token = response.next_page_token
            if not page_token:
                return

    def read(self, name: str, path: str) -> Iterator[bytes]:
        """Yields the bytes of a file of a job, in order.

        Raises:
            NotFound: JOB_NOT_FOUND or ARTIFACT_NOT_FOUND.
            DataLoss: ARTIFACT_DAMAGED when they are not those that were kept.
        """
        request = jobs_pb2.DownloadArtifactRequest(job=name, path=path)
        digest, expected = hashlib.sha256(), ""
        with typed_errors(self._peer):
            for response in self._stub.DownloadArtifact(request, timeout=TRANSFER_S):
                if response.WhichOneof("payload") == "artifact":
                    expected = response.artifact.sha256
                    continue
                digest.update(response.chunk)
                yield response.chunk
        if digest.hexdigest() != expected:
            raise DataLoss(
                "ARTIFACT_DAMAGED", f"{path} of {name} arrived damaged; download it again."
            )

    def download(self, name: str, artifact: Artifact, folder: Path) -> Path:
        """Writes a file of a job below `folder`, whole or not at all; returns where.

        A file that is there with the same bytes stays.

        Raises:
            NotFound: JOB_NOT_FOUND or ARTIFACT_NOT_FOUND.
            DataLoss: ARTIFACT_DAMAGED, also for a path that leads out of the folder.
            OSError: When the disk fails.
        """
        relative = PurePosixPath(artifact.path)
        if relative.is_absolute() or ".." in relative.parts:
            raise DataLoss(
                "ARTIFACT_DAMAGED", f"{artifact.path} of {name} leads out of its folder."
            )
        path = folder / relative
        if path.is_file() and _sha256(path) == artifact.sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                for chunk in self.read(name, artifact.path):
                    file.write(chunk)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def create_sweep(
        self,
        base: TrainingSpec,
        axes: Sequence[SweepAxis],
        *,
        metric: str,
        stage: str = "",
        minimise: bool = False,
    ) -> TrainingSweep:
        """Returns the sweep over every combination of values; the same request, the same sweep.

        Args:
            base: What every job does, but for the values of the axes.
            axes: What varies.
            metric: Figure of the evaluation that decides.
            stage: Whose figure it is; "" for the last stage.
            minimise: Whether less is better.

        Raises:
            NotFound: LABELS_NOT_FOUND.
            InvalidArgument: SWEEP_INVALID, or as `create`.
        """
        request = sweeps_pb2.CreateTrainingSweepRequest(
            parent=self._parent,
            base=convert.spec_message(base),
            axes=map(convert.axis_message, axes),
            metric=metric,
            stage=stage,
            minimise=minimise,
        )
        with typed_errors(self._peer):
            response = self._sweeps.CreateTrainingSweep(request, timeout=PROBE_S)
        return convert.sweep(response.sweep)

    def get_sweep(self, name: str) -> TrainingSweep:
        """Returns projects/{project}/sweeps/{sweep} with what its jobs have achieved so far.

        Raises:
            NotFound: SWEEP_NOT_FOUND.
        """
        request = sweeps_pb2.GetTrainingSweepRequest(name=name)
        with typed_errors(self._peer):
            response = self._sweeps.GetTrainingSweep(request, timeout=QUICK_S)
        return convert.sweep(response.sweep)

    def _news(self, name: str, since: int, period_s: float) -> Iterator[TrainingNews]:
        """Yields the job as it is now and its changes.

        Raises:
            DeadlineExceeded: When the period is over, unless the job ends within it.
        """
        request = jobs_pb2.WatchJobRequest(name=name, since=since)
        call = self._stub.WatchJob(request, timeout=period_s)
        try:
            with typed_errors(self._peer):
                for response in call:
                    events = map(convert.event, response.events)
                    yield TrainingNews(
                        convert.training_job(response.job),
                        tuple(event for event in events if event is not None),
                    )
        finally:
            call.cancel()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

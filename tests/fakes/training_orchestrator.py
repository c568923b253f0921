"""An orchestrator of training jobs with canned answers, behind a real socket."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_status import rpc_status

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc, sweeps_pb2, sweeps_pb2_grpc, training_pb2
from shoal_client import Targets
from shoal_common.status import to_status
from shoal_core.errors import NotFound, ShoalError

JOB = "projects/default/jobs/abc123"
SWEEP = "projects/default/sweeps/s1"
PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED = range(1, 6)


class FakeTrainingOrchestrator(
    jobs_pb2_grpc.JobsServiceServicer, sweeps_pb2_grpc.TrainingSweepsServiceServicer
):
    """Answers WatchJob with `story`, from the number that the caller knows; keeps what it hears."""

    def __init__(
        self,
        story: Sequence[jobs_pb2.WatchJobResponse] = (),
        *,
        files: dict[str, bytes] | None = None,
        stage_ids: Sequence[str] = ("model",),
        dies_after: int | None = None,
    ) -> None:
        self.story = list(story)
        self.files = files or {}
        self.stage_ids = stage_ids
        self.requests: list[Any] = []
        self.other_jobs: list[jobs_pb2.Job] = []
        self.sweeps: list[sweeps_pb2.TrainingSweep] = []
        """What each call of GetTrainingSweep answers; the last one again and again."""
        self.told_s: list[float | None] = []
        self.stopped = threading.Event()
        self.cancelled = threading.Event()
        self._dies_after = dies_after

    def named(self, name: str) -> list[Any]:
        """Requests of one kind, in their order."""
        return [each for each in self.requests if type(each).__name__ == f"{name}Request"]

    def CreateTrainingJob(self, request, context):
        self._note(request, context)
        return jobs_pb2.CreateTrainingJobResponse(job=job(RUNNING, self.stage_ids))

    def GetJob(self, request, context):
        self._note(request, context)
        for each in (*self.other_jobs, job(RUNNING, self.stage_ids)):
            if each.name == request.name:
                return jobs_pb2.GetJobResponse(job=each)
        return abort(context, NotFound("JOB_NOT_FOUND", f"There is no job {request.name}."))

    def ListJobs(self, request, context):
        self._note(request, context)
        return jobs_pb2.ListJobsResponse(jobs=[job(RUNNING, self.stage_ids), *self.other_jobs])

    def CancelJob(self, request, context):
        self._note(request, context)
        self.cancelled.set()
        return jobs_pb2.CancelJobResponse(job=job(CANCELLED, self.stage_ids))

    def RetryJob(self, request, context):
        self._note(request, context)
        return jobs_pb2.RetryJobResponse(job=job(PENDING, self.stage_ids))

    def StopTraining(self, request, context):
        self._note(request, context)
        self.stopped.set()
        return jobs_pb2.StopTrainingResponse(job=job(RUNNING, self.stage_ids))

    def SetLearningRate(self, request, context):
        self._note(request, context)
        return jobs_pb2.SetLearningRateResponse(job=job(RUNNING, self.stage_ids))

    def WatchJob(self, request, context):
        self._note(request, context)
        for count, response in enumerate(self.story):
            if response.events and response.events[-1].number <= request.since:
                continue
            if self._dies_after is not None and count >= self._dies_after:
                self._dies_after = None
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            yield response

    def ListArtifacts(self, request, context):
        self._note(request, context)
        chosen = [p for p in sorted(self.files) if p.startswith(request.prefix)]
        start = int(request.page_token or 0)
        following = start + 2
        return jobs_pb2.ListArtifactsResponse(
            artifacts=[artifact(path, self.files[path]) for path in chosen[start:following]],
            next_page_token=str(following) if following < len(chosen) else "",
        )

    def DownloadArtifact(self, request, context):
        self._note(request, context)
        data = self.files[request.path]
        yield jobs_pb2.DownloadArtifactResponse(artifact=artifact(request.path, data))
        for start in range(0, len(data), 4):
            yield jobs_pb2.DownloadArtifactResponse(chunk=data[start : start + 4])

    def CreateTrainingSweep(self, request, context):
        self._note(request, context)
        return sweeps_pb2.CreateTrainingSweepResponse(sweep=self.sweeps[0])

    def GetTrainingSweep(self, request, context):
        self._note(request, context)
        sweep = self.sweeps.pop(0) if len(self.sweeps) > 1 else self.sweeps[0]
        return sweeps_pb2.GetTrainingSweepResponse(sweep=sweep)

    def _note(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.told_s.append(context.time_remaining())


def abort(context: grpc.ServicerContext, error: ShoalError) -> None:
    context.abort_with_status(rpc_status.to_status(to_status(error)))


def artifact(path: str, data: bytes) -> training_pb2.Artifact:
    return training_pb2.Artifact(
        path=path, byte_count=len(data), sha256=hashlib.sha256(data).hexdigest()
    )


def job(
    state: int, stage_ids: Sequence[str] = ("model",), error: ShoalError | None = None
) -> jobs_pb2.Job:
    """A training job all of whose stages are as the job is."""
    stage_state = {PENDING: 1, RUNNING: 2, SUCCEEDED: 3, FAILED: 4, CANCELLED: 1}[state]
    return jobs_pb2.Job(
        name=JOB,
        state=state,
        training={"labels": [{"uri": "/labels.slp"}]},
        training_progress=[
            training_pb2.TrainingProgress(stage=stage, state=stage_state, attempt=1)
            for stage in stage_ids
        ],
        error=None if error is None else to_status(error),
    )


def news(
    state: int,
    *events: training_pb2.JobEvent,
    stage_ids: Sequence[str] = ("model",),
    last: dict[str, training_pb2.TrainingMeasurement] | None = None,
    error: ShoalError | None = None,
) -> jobs_pb2.WatchJobResponse:
    """One answer of WatchJob; `last` is what was measured last, by stage."""
    now = job(state, stage_ids, error)
    for progress in now.training_progress:
        if last and progress.stage in last:
            progress.last.CopyFrom(last[progress.stage])
    return jobs_pb2.WatchJobResponse(job=now, events=events)


def epoch(
    number: int, index: int, loss: float, validation_loss: float, stage: str = "model", **more: Any
) -> training_pb2.JobEvent:
    return training_pb2.JobEvent(
        number=number,
        stage=stage,
        attempt=1,
        epoch_ended={
            "epoch": index,
            "step": 50 * (index + 1),
            "epoch_count": 10,
            "loss": loss,
            "validation_loss": validation_loss,
            **more,
        },
    )


def metrics(number: int, stage: str = "model", **values: float) -> training_pb2.JobEvent:
    return training_pb2.JobEvent(number=number, stage=stage, attempt=1, metrics={"values": values})


@contextlib.contextmanager
def served(fake: FakeTrainingOrchestrator, folder: Path) -> Iterator[Targets]:
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    jobs_pb2_grpc.add_JobsServiceServicer_to_server(fake, server)
    sweeps_pb2_grpc.add_TrainingSweepsServiceServicer_to_server(fake, server)
    target = f"unix:{folder / 'o'}"
    server.add_insecure_port(target)
    server.start()
    try:
        yield Targets(orchestrator=target)
    finally:
        server.stop(None).wait()

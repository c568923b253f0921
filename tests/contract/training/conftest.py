"""An orchestrator and a worker on real sockets, and a training program that is a fake."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc, sweeps_pb2_grpc, training_pb2
from shoal.labels.v1 import labels_pb2_grpc
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.status import typed_errors
from shoal_orchestrator.__main__ import build as build_orchestrator
from shoal_orchestrator.config import OrchestratorConfig
from shoal_worker.__main__ import build as build_worker
from shoal_worker.config import WorkerConfig
from tests.fakes import trainer
from tests.fakes.label_sets import FakeLabelSets
from tests.fakes.running import running

CALL_SECONDS = 240.0  # only a bug lets a call wait so long


@dataclass
class Ensemble:
    """Orchestrator and worker, and the fakes around them."""

    folder: Path
    labels: FakeLabelSets = field(default_factory=FakeLabelSets)

    @property
    def orchestrator_config(self) -> OrchestratorConfig:
        return OrchestratorConfig(
            listen=f"unix:{self.folder}/o",
            home=self.folder / "home",
            decode_target=f"unix:{self.folder}/none",
            serving_target=f"unix:{self.folder}/none",
            labels_target=f"unix:{self.folder}/l",
            lease_seconds=2.0,
            drain_seconds=0.2,
        )

    def worker_config(self, **settings: Any) -> WorkerConfig:
        return WorkerConfig(
            **{
                "listen": f"unix:{self.folder}/w",
                "orchestrator_target": self.orchestrator_config.listen,
                "labels_target": f"unix:{self.folder}/l",
                "serving_target": f"unix:{self.folder}/none",
                "allowed_roots": (str(self.folder),),
                "worker_id": "w1",
                "runs_folder": self.folder / "runs",
                "trainer_command": (sys.executable, trainer.__file__),
                "artifact_interval_seconds": 0.05,
                "drain_seconds": 0.2,
            }
            | settings
        )

    @asynccontextmanager
    async def peers(self) -> AsyncIterator[None]:
        server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        labels_pb2_grpc.add_LabelsServiceServicer_to_server(self.labels, server)
        server.add_insecure_port(f"unix:{self.folder}/l")
        await server.start()
        yield
        await server.stop(None)

    @asynccontextmanager
    async def orchestrator(self) -> AsyncIterator["Client"]:
        config = self.orchestrator_config
        async with running(await build_orchestrator(config), config.listen) as service:
            yield Client(service.channel, self.folder)

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[None]:
        config = self.worker_config(**settings)
        async with running(await build_worker(config), config.listen):
            yield

    def left_runs(self) -> list[Path]:
        """Returns what workers have left of their runs."""
        return list((self.folder / "runs").glob("*/*"))


class Client:
    """Asks the orchestrator and raises its errors as typed ones."""

    def __init__(self, channel: grpc.aio.Channel, folder: Path) -> None:
        self.jobs = jobs_pb2_grpc.JobsServiceStub(channel)
        self.queue = jobs_pb2_grpc.WorkQueueServiceStub(channel)
        self.sweeps = sweeps_pb2_grpc.TrainingSweepsServiceStub(channel)
        self._folder = folder

    def spec(self, *stages: str, **fake: object) -> training_pb2.TrainingJobSpec:
        """Returns what to train, with a fake that behaves so."""
        document = json.dumps({"data": {"limit": 5}, "fake": {"epochs": 3} | fake})
        return training_pb2.TrainingJobSpec(
            labels=[training_pb2.LabelsFile(uri=str(self._folder / "labels.slp"))],
            stages=[
                training_pb2.TrainingStage(id=stage, configuration_json=document)
                for stage in stages or ("centroid",)
            ],
        )

    async def create(self, *stages: str, **fake: object) -> jobs_pb2.Job:
        return (await self.submit(self.spec(*stages, **fake))).job

    async def submit(self, spec: training_pb2.TrainingJobSpec) -> Any:
        request = jobs_pb2.CreateTrainingJobRequest(parent="projects/lab", spec=spec)
        return await call(self.jobs.CreateTrainingJob, request)

    async def get(self, name: str) -> jobs_pb2.Job:
        return (await call(self.jobs.GetJob, jobs_pb2.GetJobRequest(name=name))).job

    async def watch(self, name: str, since: int = 0) -> AsyncIterator[jobs_pb2.WatchJobResponse]:
        request = jobs_pb2.WatchJobRequest(name=name, since=since)
        watching = self.jobs.WatchJob(request, timeout=CALL_SECONDS)
        try:
            with typed_errors("orchestrator"):
                async for response in watching:
                    yield response
        finally:
            watching.cancel()

    async def lease(self) -> jobs_pb2.Task:
        """Returns the next network to train, as a worker gets it."""
        request = jobs_pb2.LeaseTaskRequest(worker_id="w", kinds=[jobs_pb2.TASK_KIND_TRAIN])
        return (await call(self.queue.LeaseTask, request)).task

    async def until_ended(self, name: str) -> tuple[jobs_pb2.Job, list[training_pb2.JobEvent]]:
        """Returns the job at its end and everything that happened."""
        responses = [response async for response in self.watch(name)]
        return responses[-1].job, [event for each in responses for event in each.events]

    async def until(self, name: str, reached: Callable[[jobs_pb2.Job], bool]) -> jobs_pb2.Job:
        """Returns the job once it has got so far."""
        async for response in self.watch(name):
            if reached(response.job):
                return response.job
        raise AssertionError("the job ended before that")

    async def download(self, job: str, path: str) -> bytes:
        request = jobs_pb2.DownloadArtifactRequest(job=job, path=path)
        with typed_errors("orchestrator"):
            responses = self.jobs.DownloadArtifact(request, timeout=CALL_SECONDS)
            return b"".join([response.chunk async for response in responses])

    async def paths(self, job: str) -> list[str]:
        request = jobs_pb2.ListArtifactsRequest(parent=job)
        response = await call(self.jobs.ListArtifacts, request)
        return [artifact.path for artifact in response.artifacts]


def job_of(task: jobs_pb2.Task) -> str:
    """Returns the name of the job of a task."""
    return task.name.rpartition("/tasks/")[0]


async def call(method: Callable[..., Any], request: Any) -> Any:
    """Returns the answer of a unary call, or raises its typed error."""
    with typed_errors("orchestrator"):
        return await method(request, timeout=CALL_SECONDS)


@pytest.fixture
async def ensemble(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ensemble]:
    ensemble = Ensemble(tmp_path_factory.mktemp("t"))
    labels = ensemble.folder / "labels.slp"
    labels.write_text("labels")
    ensemble.labels.add_file(labels)
    async with ensemble.peers():
        yield ensemble


@pytest.fixture
async def client(ensemble: Ensemble) -> AsyncIterator[Client]:
    async with ensemble.orchestrator() as client:
        yield client

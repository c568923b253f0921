"""An orchestrator on a real socket, between fakes of its peers, in a time that stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.decode.v1 import decode_pb2_grpc
from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal.labels.v1 import labels_pb2_grpc
from shoal.serving.v1 import serving_pb2_grpc
from shoal_common.channel import open_channel
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.status import typed_errors
from shoal_orchestrator.__main__ import build
from shoal_orchestrator.config import OrchestratorConfig
from tests.fakes.clock import FakeClock
from tests.fakes.decode import FakeDecode
from tests.fakes.label_sets import FakeLabelSets
from tests.fakes.serving_registry import FakeServingRegistry

VIDEO = "/videos/fly.mp4"
CALL_SECONDS = 30.0  # only a bug lets a call wait so long


@dataclass
class Ensemble:
    """The orchestrator under test and everything around it."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    decode: FakeDecode = field(default_factory=FakeDecode)
    serving: FakeServingRegistry = field(default_factory=FakeServingRegistry)
    labels: FakeLabelSets = field(default_factory=FakeLabelSets)

    @property
    def config(self) -> OrchestratorConfig:
        return OrchestratorConfig(
            listen=f"unix:{self.folder}/o",
            home=self.folder / "home",
            decode_target=f"unix:{self.folder}/d",
            serving_target=f"unix:{self.folder}/s",
            labels_target=f"unix:{self.folder}/l",
            segment_frame_count=50,
        )

    @asynccontextmanager
    async def peers(self) -> AsyncIterator[None]:
        """Serves the fakes."""
        async with AsyncExitStack() as stack:
            for add, servicer, target in (
                (
                    decode_pb2_grpc.add_DecodeServiceServicer_to_server,
                    self.decode,
                    self.config.decode_target,
                ),
                (
                    serving_pb2_grpc.add_ServingServiceServicer_to_server,
                    self.serving,
                    self.config.serving_target,
                ),
                (
                    labels_pb2_grpc.add_LabelsServiceServicer_to_server,
                    self.labels,
                    str(self.config.labels_target),
                ),
            ):
                server = grpc.aio.server(interceptors=[ErrorInterceptor()])
                add(servicer, server)
                server.add_insecure_port(target)
                await server.start()
                stack.push_async_callback(server.stop, None)
            yield

    @asynccontextmanager
    async def orchestrator(self) -> AsyncIterator["Client"]:
        """Serves the orchestrator on the state that is there, and ends it in good order."""
        stop = asyncio.Event()
        builder = await build(self.config, self.clock)
        serving = asyncio.create_task(builder.serve(stop))
        try:
            async with open_channel(self.config.listen) as channel:
                await channel.channel_ready()
                yield Client(channel, stop)
        finally:
            stop.set()
            await serving


class Client:
    """Calls the orchestrator and raises its errors as typed ones."""

    def __init__(self, channel: grpc.aio.Channel, stop: asyncio.Event) -> None:
        self.stop = stop
        self._jobs = jobs_pb2_grpc.JobsServiceStub(channel)
        self._queue = jobs_pb2_grpc.WorkQueueServiceStub(channel)

    async def create(self, *, timeout: float = CALL_SECONDS, **fields: Any) -> jobs_pb2.Job:
        request = jobs_pb2.CreateTrackJobRequest(
            **{"parent": "projects/lab", "video_uri": VIDEO, "model": "models/fly"} | fields
        )
        return (await call(self._jobs.CreateTrackJob, request, timeout=timeout)).job

    async def get(self, name: str) -> jobs_pb2.Job:
        return (await call(self._jobs.GetJob, jobs_pb2.GetJobRequest(name=name))).job

    async def cancel(self, name: str) -> jobs_pb2.Job:
        return (await call(self._jobs.CancelJob, jobs_pb2.CancelJobRequest(name=name))).job

    async def list(self, **fields: Any) -> jobs_pb2.ListJobsResponse:
        request = jobs_pb2.ListJobsRequest(**{"parent": "projects/lab"} | fields)
        return await call(self._jobs.ListJobs, request)

    async def watch(self, name: str) -> AsyncIterator[jobs_pb2.Job]:
        watching = self._jobs.WatchJob(jobs_pb2.WatchJobRequest(name=name), timeout=CALL_SECONDS)
        try:
            with typed_errors("orchestrator"):
                async for response in watching:
                    yield response.job
        finally:
            watching.cancel()

    async def lease(self, *, wait_ms: int = 0, worker_id: str = "w1") -> jobs_pb2.Task | None:
        request = jobs_pb2.LeaseTaskRequest(worker_id=worker_id, wait_ms=wait_ms)
        response = await call(self._queue.LeaseTask, request)
        return response.task if response.HasField("task") else None

    async def must_lease(self, *, wait_ms: int = 0) -> jobs_pb2.Task:
        task = await self.lease(wait_ms=wait_ms)
        assert task is not None
        return task

    async def renew(
        self, task: jobs_pb2.Task, frames: int = 0, instances: int = 0, overflow_frames: int = 0
    ) -> None:
        request = jobs_pb2.RenewLeaseRequest(
            task=task.name,
            fencing_token=task.fencing_token,
            done_frame_count=frames,
            instance_count=instances,
            overflow_frame_count=overflow_frames,
        )
        await call(self._queue.RenewLease, request)

    async def complete(
        self, task: jobs_pb2.Task, frames: int = 40, instances: int = 0, overflow_frames: int = 0
    ) -> None:
        request = jobs_pb2.CompleteTaskRequest(
            task=task.name,
            fencing_token=task.fencing_token,
            done_frame_count=frames,
            instance_count=instances,
            overflow_frame_count=overflow_frames,
        )
        await call(self._queue.CompleteTask, request)

    async def fail(self, task: jobs_pb2.Task, error: Any) -> None:
        request = jobs_pb2.FailTaskRequest(
            task=task.name, fencing_token=task.fencing_token, error=error
        )
        await call(self._queue.FailTask, request)


async def call(method: Callable[..., Any], request: Any, *, timeout: float = CALL_SECONDS) -> Any:
    """Returns the answer of a unary call, or raises its typed error."""
    with typed_errors("orchestrator"):
        return await method(request, timeout=timeout)


@pytest.fixture
async def ensemble(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ensemble]:
    ensemble = Ensemble(tmp_path_factory.mktemp("o"))
    ensemble.decode.add_video(VIDEO, frame_count=100, keyframes=(0, 45, 90))
    ensemble.serving.add_version("models/fly")
    async with ensemble.peers():
        yield ensemble


@pytest.fixture
async def client(ensemble: Ensemble) -> AsyncIterator[Client]:
    async with ensemble.orchestrator() as client:
        yield client

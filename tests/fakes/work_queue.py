"""The orchestrator as a worker sees it: tasks to lease, and ears for how they end."""

import asyncio

import grpc

from shoal.jobs.v1 import jobs_pb2 as pb
from shoal.jobs.v1 import jobs_pb2_grpc as pb_grpc
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.status import from_status
from shoal_core.errors import Aborted, ShoalError

LEASE_MS = 60


class FakeWorkQueue(pb_grpc.WorkQueueServiceServicer):
    """Hands out the tasks that it was given; faults are attributes.

    `renewal_fault`, `ending_fault` and `lease_fault` answer those calls, until they are None.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.renewal_fault: ShoalError | None = None
        self.ending_fault: ShoalError | None = None
        self.lease_fault: ShoalError | None = None
        self.renewals: list[pb.RenewLeaseRequest] = []
        self.reports: list[pb.ReportTrainingRequest] = []
        self.completed: list[pb.CompleteTaskRequest] = []
        self.failed: list[ShoalError] = []
        self.upload_faults: list[ShoalError] = []
        """What the next uploads are answered, one after another."""
        self.uploads: dict[str, bytes] = {}
        """Files by their path, in the order in which they came first."""
        self.lease_count = 0
        self._tasks: list[pb.Task] = []
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens."""
        self._server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        pb_grpc.add_WorkQueueServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Ends at once."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def add(self, task: pb.Task) -> None:
        """Makes a task available."""
        task.lease_duration_ms = task.lease_duration_ms or LEASE_MS
        self._tasks.append(task)
        await self._tell()

    async def lose_leases(self) -> None:
        """Answers every renewal with LEASE_LOST."""
        self.renewal_fault = Aborted("LEASE_LOST", "The task was cancelled.")

    async def until_ended(self, count: int) -> None:
        """Returns once so many tasks have been completed or given back."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.completed) + len(self.failed) >= count)

    async def until_renewed(self, count: int) -> None:
        """Returns once so many heartbeats were heard, answered well or not."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.renewals) >= count)

    async def until_leases_asked(self, count: int) -> None:
        """Returns once so many leases were asked for."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.lease_count >= count)

    async def LeaseTask(self, request, context):
        self.lease_count += 1
        await self._tell()
        if self.lease_fault is not None:
            raise self.lease_fault
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._tasks))
            return pb.LeaseTaskResponse(task=self._tasks.pop(0))

    async def RenewLease(self, request, context):
        self.renewals.append(request)
        await self._tell()
        if self.renewal_fault is not None:
            raise self.renewal_fault
        return pb.RenewLeaseResponse()

    async def CompleteTask(self, request, context):
        if self.ending_fault is not None:
            raise self.ending_fault
        self.completed.append(request)
        await self._tell()
        return pb.CompleteTaskResponse()

    async def FailTask(self, request, context):
        if self.ending_fault is not None:
            raise self.ending_fault
        self.failed.append(from_status(request.error))
        await self._tell()
        return pb.FailTaskResponse()

    async def UploadArtifact(self, requests, context):
        header, *chunks = [request async for request in requests]
        if self.upload_faults:
            raise self.upload_faults.pop(0)
        self.uploads[header.header.path] = b"".join(request.chunk for request in chunks)
        return pb.UploadArtifactResponse()

    async def ReportTraining(self, request, context):
        self.reports.append(request)
        await self._tell()
        return pb.ReportTrainingResponse()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

"""`shoal.jobs.v1.WorkQueueService`: tasks for workers."""

from google.rpc import code_pb2

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common.handlers import Context
from shoal_common.status import from_status
from shoal_core.errors import InvalidArgument
from shoal_orchestrator import convert
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.records import Count

_LONGEST_WAIT_MS = 30_000


class WorkQueueService(jobs_pb2_grpc.WorkQueueServiceServicer):
    """Leases tasks to workers and hears how they end."""

    def __init__(self, *, dispatcher: Dispatcher, lease_seconds: float) -> None:
        self._dispatcher = dispatcher
        self._lease_seconds = lease_seconds

    async def LeaseTask(
        self, request: jobs_pb2.LeaseTaskRequest, context: Context
    ) -> jobs_pb2.LeaseTaskResponse:
        """See the proto."""
        if not request.worker_id:
            raise _invalid("worker_id", request.worker_id, "a name that no other worker has")
        if not 0 <= request.wait_ms <= _LONGEST_WAIT_MS:
            raise _invalid("wait_ms", request.wait_ms, f"0 to {_LONGEST_WAIT_MS}")
        task = await self._dispatcher.lease(request.worker_id, wait_seconds=request.wait_ms / 1000)
        if task is None:
            return jobs_pb2.LeaseTaskResponse()
        return jobs_pb2.LeaseTaskResponse(
            task=convert.task(task, lease_seconds=self._lease_seconds)
        )

    async def RenewLease(
        self, request: jobs_pb2.RenewLeaseRequest, context: Context
    ) -> jobs_pb2.RenewLeaseResponse:
        """See the proto."""
        key, count = convert.task_key(request.task), _count(request)
        await self._dispatcher.renew(key, request.fencing_token, count)
        return jobs_pb2.RenewLeaseResponse()

    async def CompleteTask(
        self, request: jobs_pb2.CompleteTaskRequest, context: Context
    ) -> jobs_pb2.CompleteTaskResponse:
        """See the proto."""
        key, count = convert.task_key(request.task), _count(request)
        await self._dispatcher.complete(key, request.fencing_token, count)
        return jobs_pb2.CompleteTaskResponse()

    async def FailTask(
        self, request: jobs_pb2.FailTaskRequest, context: Context
    ) -> jobs_pb2.FailTaskResponse:
        """See the proto."""
        if request.error.code == code_pb2.OK:
            raise _invalid("error.code", request.error.code, "the code of an error")
        key, error = convert.task_key(request.task), from_status(request.error)
        await self._dispatcher.fail(key, request.fencing_token, error)
        return jobs_pb2.FailTaskResponse()


def _count(request: jobs_pb2.RenewLeaseRequest | jobs_pb2.CompleteTaskRequest) -> Count:
    for field in ("done_frame_count", "instance_count", "overflow_frame_count"):
        if getattr(request, field) < 0:
            raise _invalid(field, getattr(request, field), "0 or more")
    return Count(
        frames=request.done_frame_count,
        instances=request.instance_count,
        overflow_frames=request.overflow_frame_count,
    )


def _invalid(field: str, value: object, allowed: str) -> InvalidArgument:
    return InvalidArgument(
        "PARAMETER_INVALID",
        f"{field} is {value!r}; it must be {allowed}.",
        field=field,
        value=value,
        allowed=allowed,
    )

"""`shoal.jobs.v1.WorkQueueService`: tasks for workers."""

from collections.abc import AsyncIterator, Collection

from google.rpc import code_pb2

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common.handlers import Context
from shoal_common.refusal import heard_out
from shoal_common.status import from_status
from shoal_core.errors import InvalidArgument
from shoal_orchestrator import convert, convert_training
from shoal_orchestrator.convert_training import invalid
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.records import TRACKING_TASKS, Count, TaskKind
from shoal_orchestrator.trainings import Trainings

_LONGEST_WAIT_MS = 30_000
_KINDS = {
    jobs_pb2.TASK_KIND_INFER_SEGMENT: TaskKind.INFER_SEGMENT,
    jobs_pb2.TASK_KIND_LINK: TaskKind.LINK,
    jobs_pb2.TASK_KIND_TRAIN: TaskKind.TRAIN,
}


class WorkQueueService(jobs_pb2_grpc.WorkQueueServiceServicer):
    """Leases tasks to workers and hears how they end."""

    def __init__(
        self, *, dispatcher: Dispatcher, trainings: Trainings, lease_seconds: float
    ) -> None:
        self._dispatcher = dispatcher
        self._trainings = trainings
        self._lease_seconds = lease_seconds

    async def LeaseTask(
        self, request: jobs_pb2.LeaseTaskRequest, context: Context
    ) -> jobs_pb2.LeaseTaskResponse:
        """See the proto."""
        if not request.worker_id:
            raise invalid("worker_id", request.worker_id, "a name that no other worker has")
        if not 0 <= request.wait_ms <= _LONGEST_WAIT_MS:
            raise invalid("wait_ms", request.wait_ms, f"0 to {_LONGEST_WAIT_MS}")
        task = await self._dispatcher.lease(
            request.worker_id, wait_seconds=request.wait_ms / 1000, kinds=_kinds(request.kinds)
        )
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
        lease = await self._dispatcher.renew(key, request.fencing_token, count)
        if lease.task.kind is not TaskKind.TRAIN:
            return jobs_pb2.RenewLeaseResponse()
        control = await self._trainings.control(key, request.fencing_token)
        return jobs_pb2.RenewLeaseResponse(control=convert_training.control(control))

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
            raise invalid("error.code", request.error.code, "the code of an error")
        key, error = convert.task_key(request.task), from_status(request.error)
        await self._dispatcher.fail(key, request.fencing_token, error)
        return jobs_pb2.FailTaskResponse()

    async def ReportTraining(
        self, request: jobs_pb2.ReportTrainingRequest, context: Context
    ) -> jobs_pb2.ReportTrainingResponse:
        """See the proto."""
        key, events = convert.task_key(request.task), convert_training.new_events(request.events)
        last = request.last.SerializeToString() if request.HasField("last") else None
        await self._trainings.report(key, request.fencing_token, last, events)
        return jobs_pb2.ReportTrainingResponse()

    async def UploadArtifact(
        self, requests: AsyncIterator[jobs_pb2.UploadArtifactRequest], context: Context
    ) -> jobs_pb2.UploadArtifactResponse:
        """See the proto."""
        stream = aiter(requests)
        header = (await anext(stream, jobs_pb2.UploadArtifactRequest())).header
        if not header.task:
            raise InvalidArgument(
                "HEADER_EXPECTED_FIRST", "The first message must carry `header` with a task."
            )
        async with heard_out(stream):
            key, token = convert.task_key(header.task), header.fencing_token
            stage = await self._trainings.check_held(key, token)
            artifact = convert_training.new_artifact(header, stage)
            async with self._trainings.receive(
                key.job, byte_count=artifact.byte_count, sha256=artifact.sha256
            ) as incoming:
                async for request in stream:
                    await incoming.write(request.chunk)
                await incoming.finish()
                published = await self._trainings.publish(
                    key, token, incoming, artifact, convert_training.artifact_event
                )
        return jobs_pb2.UploadArtifactResponse(artifact=convert_training.artifact(published))


def _kinds(kinds: "Collection[jobs_pb2.TaskKind.ValueType]") -> Collection[TaskKind]:
    unknown = set(kinds) - set(_KINDS)
    if unknown:
        raise invalid("kinds", sorted(unknown), "kinds of tasks")
    return [_KINDS[kind] for kind in kinds] or TRACKING_TASKS


def _count(request: jobs_pb2.RenewLeaseRequest | jobs_pb2.CompleteTaskRequest) -> Count:
    for field in ("done_frame_count", "instance_count", "overflow_frame_count"):
        if getattr(request, field) < 0:
            raise invalid(field, getattr(request, field), "0 or more")
    return Count(
        frames=request.done_frame_count,
        instances=request.instance_count,
        overflow_frames=request.overflow_frame_count,
    )

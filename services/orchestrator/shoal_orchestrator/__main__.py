"""The orchestrator's process: the only place that builds its parts."""

from contextlib import AsyncExitStack
from functools import partial

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common.channel import open_channel
from shoal_common.folder_lock import FolderLock
from shoal_common.metrics import Metrics
from shoal_common.server import ServerBuilder, run_service
from shoal_orchestrator.clock import Clock, SystemClock
from shoal_orchestrator.config import OrchestratorConfig
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.leases import Leases
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.peers import LabelSets, Models, Videos
from shoal_orchestrator.schema import sqlite_url
from shoal_orchestrator.service import JobsService
from shoal_orchestrator.states import TaskState
from shoal_orchestrator.work_queue import WorkQueueService

_JOBS, _WORK_QUEUE = (
    jobs_pb2.DESCRIPTOR.services_by_name[name].full_name
    for name in ("JobsService", "WorkQueueService")
)


async def build(config: OrchestratorConfig, clock: Clock | None = None) -> ServerBuilder:
    """Returns the server of the orchestrator; `clock` is the computer's unless it is given."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        dispatcher = await _dispatcher(config, clock, stack)
        builder = ServerBuilder(config, _metrics(dispatcher))
        decode, serving = open_channel(config.decode_target), open_channel(config.serving_target)
        for name, channel in (("decode", decode), ("serving", serving)):
            stack.push_async_callback(channel.close)
            builder.depends_on(name, channel, needed_by=[_JOBS])  # workers need the ledger only
        label_sets = None
        if config.labels_target is not None:
            labels = open_channel(config.labels_target)
            stack.push_async_callback(labels.close)
            builder.depends_on("labels", labels)  # asked for the jobs that name centroids
            label_sets = LabelSets(labels)
        jobs = JobsService(
            dispatcher=dispatcher,
            videos=Videos(decode),
            models=Models(serving),
            label_sets=label_sets,
            segment_frame_count=config.segment_frame_count,
        )
        queue = WorkQueueService(dispatcher=dispatcher, lease_seconds=config.lease_seconds)
        builder.add(jobs_pb2_grpc.add_JobsServiceServicer_to_server, jobs, _JOBS)
        builder.add(jobs_pb2_grpc.add_WorkQueueServiceServicer_to_server, queue, _WORK_QUEUE)
        return builder.run_beside(dispatcher.sweep).on_stop(stack.pop_all().aclose)


def _metrics(dispatcher: Dispatcher) -> Metrics:
    metrics = Metrics("shoal_orchestrator")
    for state in (TaskState.PENDING, TaskState.LEASED):
        metrics.gauge(
            f"{state.name.lower()}_tasks",
            "Tasks of jobs that go on.",
            partial(dispatcher.task_count, state),
        )
    return metrics


async def _dispatcher(
    config: OrchestratorConfig, clock: Clock, stack: AsyncExitStack
) -> Dispatcher:
    # Leases are partly in memory: two orchestrators would give one task to two workers.
    folder = config.home / "jobs"
    stack.enter_context(FolderLock(folder))
    path = folder / "ledger.db"
    ledger = await Ledger.open(sqlite_url(path), clock=clock, max_attempts=config.max_attempts)
    dispatcher = Dispatcher(
        ledger=ledger, leases=Leases(lease_seconds=config.lease_seconds), clock=clock
    )
    stack.push_async_callback(dispatcher.close)
    await dispatcher.restore()
    return dispatcher


def main() -> None:
    """Runs the orchestrator."""
    run_service("shoal-orchestrator", OrchestratorConfig, build)


if __name__ == "__main__":
    main()

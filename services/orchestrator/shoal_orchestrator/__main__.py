"""The orchestrator's process: the only place that builds its parts."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc, sweeps_pb2, sweeps_pb2_grpc
from shoal_common.channel import open_channel
from shoal_common.folder_lock import FolderLock
from shoal_common.metrics import Metrics
from shoal_common.server import ServerBuilder, run_service
from shoal_orchestrator.artifact_files import ArtifactFiles
from shoal_orchestrator.clock import Clock, SystemClock
from shoal_orchestrator.config import OrchestratorConfig
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.leases import Leases
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.peers import LabelSets, Models, TrainingLabels, Videos
from shoal_orchestrator.schema import sqlite_url
from shoal_orchestrator.service import JobsService
from shoal_orchestrator.states import TaskState
from shoal_orchestrator.sweep_ledger import SweepLedger
from shoal_orchestrator.sweeps import TrainingSweepsService
from shoal_orchestrator.training_ledger import TrainingLedger
from shoal_orchestrator.trainings import Trainings
from shoal_orchestrator.watching import Watching
from shoal_orchestrator.work_queue import WorkQueueService

_JOBS, _WORK_QUEUE = (
    jobs_pb2.DESCRIPTOR.services_by_name[name].full_name
    for name in ("JobsService", "WorkQueueService")
)
_SWEEPS = sweeps_pb2.DESCRIPTOR.services_by_name["TrainingSweepsService"].full_name


async def build(config: OrchestratorConfig, clock: Clock | None = None) -> ServerBuilder:
    """Returns the server of the orchestrator; `clock` is the computer's unless it is given."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        parts = await _Parts.open(config, clock, stack)
        builder = ServerBuilder(config, _metrics(parts.dispatcher))
        decode, serving = open_channel(config.decode_target), open_channel(config.serving_target)
        for name, channel in (("decode", decode), ("serving", serving)):
            stack.push_async_callback(channel.close)
            builder.depends_on(name, channel, needed_by=[_JOBS])  # workers need the ledger only
        label_sets = training_labels = None
        if config.labels_target is not None:
            labels = open_channel(config.labels_target)
            stack.push_async_callback(labels.close)
            builder.depends_on("labels", labels)  # asked for the jobs that name labels
            label_sets, training_labels = LabelSets(labels), TrainingLabels(labels)
        jobs = JobsService(
            dispatcher=parts.dispatcher,
            videos=Videos(decode),
            models=Models(serving),
            label_sets=label_sets,
            training_labels=training_labels,
            trainings=parts.trainings,
            watching=Watching(dispatcher=parts.dispatcher, trainings=parts.trainings, clock=clock),
            segment_frame_count=config.segment_frame_count,
        )
        sweeps = TrainingSweepsService(
            dispatcher=parts.dispatcher, ledger=parts.sweeps, training_labels=training_labels
        )
        queue = WorkQueueService(
            dispatcher=parts.dispatcher,
            trainings=parts.trainings,
            lease_seconds=config.lease_seconds,
        )
        builder.add(jobs_pb2_grpc.add_JobsServiceServicer_to_server, jobs, _JOBS)
        builder.add(sweeps_pb2_grpc.add_TrainingSweepsServiceServicer_to_server, sweeps, _SWEEPS)
        builder.add(jobs_pb2_grpc.add_WorkQueueServiceServicer_to_server, queue, _WORK_QUEUE)
        return builder.run_beside(parts.dispatcher.sweep).on_stop(stack.pop_all().aclose)


def _metrics(dispatcher: Dispatcher) -> Metrics:
    metrics = Metrics("shoal_orchestrator")
    for state in (TaskState.PENDING, TaskState.LEASED):
        metrics.gauge(
            f"{state.name.lower()}_tasks",
            "Tasks of jobs that go on.",
            partial(dispatcher.task_count, state),
        )
    return metrics


@dataclass(frozen=True)
class _Parts:
    """What stands on the ledger."""

    dispatcher: Dispatcher
    trainings: Trainings
    sweeps: SweepLedger

    @classmethod
    async def open(cls, config: OrchestratorConfig, clock: Clock, stack: AsyncExitStack) -> Self:
        # Leases are partly in memory: two orchestrators would give one task to two workers.
        folder = config.home / "jobs"
        stack.enter_context(FolderLock(folder))
        path = folder / "ledger.db"
        ledger = await Ledger.open(sqlite_url(path), clock=clock, max_attempts=config.max_attempts)
        leases = Leases(lease_seconds=config.lease_seconds)
        dispatcher = Dispatcher(ledger=ledger, leases=leases, clock=clock)
        stack.push_async_callback(dispatcher.close)
        await dispatcher.restore()
        trainings = Trainings(
            dispatcher=dispatcher,
            ledger=TrainingLedger(ledger, clock=clock),
            files=ArtifactFiles(folder / "artifacts"),
            clock=clock,
        )
        await trainings.restore()
        return cls(dispatcher, trainings, SweepLedger(ledger, clock=clock))


def main() -> None:
    """Runs the orchestrator."""
    run_service("shoal-orchestrator", OrchestratorConfig, build)


if __name__ == "__main__":
    main()

"""The worker's process: the only place that builds its parts."""

from shoal.jobs.v1 import jobs_pb2_grpc
from shoal.labels.v1 import labels_pb2_grpc
from shoal_common.channel import open_channel
from shoal_common.health import PROCESS
from shoal_common.metrics import Metrics
from shoal_common.roots import AllowedRoots
from shoal_common.server import ServerBuilder, run_service
from shoal_common.watchdog import Watchdog
from shoal_worker.config import WorkerConfig
from shoal_worker.label_sets import LabelSets
from shoal_worker.load import PipelineLoad
from shoal_worker.models import Models
from shoal_worker.queue import TaskQueue
from shoal_worker.training.run_folders import RunFolders
from shoal_worker.training.work import TrainerSettings, TrainingWork
from shoal_worker.videos import Videos
from shoal_worker.worker import Worker


async def build(config: WorkerConfig, watchdog: Watchdog | None = None) -> ServerBuilder:
    """Returns the server of a worker that leases as long as it serves.

    Args:
        config: What the worker needs.
        watchdog: Of the decoder; by default one that ends the process.
    """
    watchdog = watchdog or Watchdog(limit_seconds=config.decode_stall_seconds)
    orchestrator = open_channel(config.orchestrator_target)
    labels = open_channel(config.labels_target)
    serving = open_channel(config.serving_target)
    roots = AllowedRoots(config.allowed_roots)
    videos = Videos(
        roots=roots,
        thread_count=config.decode_thread_count,
        watchdog=watchdog,
    )
    models = Models(serving)
    load = PipelineLoad()
    metrics = Metrics("shoal_worker")
    load.report_to(metrics)
    queue = jobs_pb2_grpc.WorkQueueServiceStub(orchestrator)
    label_sets = LabelSets(labels_pb2_grpc.LabelsServiceStub(labels))
    folders = RunFolders(config.runs_folder)
    training = TrainingWork(
        jobs=jobs_pb2_grpc.JobsServiceStub(orchestrator),
        queue=queue,
        label_sets=label_sets,
        folders=folders,
        roots=roots,
        settings=TrainerSettings(
            command=config.trainer_command,
            stall_seconds=config.trainer_stall_seconds,
            push_seconds=config.artifact_interval_seconds,
        ),
        worker_id=config.worker_id,
    )
    worker = Worker(
        queue=TaskQueue(queue, worker_id=config.worker_id),
        label_sets=label_sets,
        models=models,
        videos=videos,
        training=training,
        training_task_count=config.training_task_count,
        in_flight_request_count=config.in_flight_request_count,
        load=load,
    )
    builder = ServerBuilder(config, metrics).run_beside(worker.run).run_beside(watchdog.run)
    peers = {"orchestrator": orchestrator, "labels": labels, "serving": serving}
    for name, channel in peers.items():
        builder.depends_on(name, channel, needed_by=[PROCESS]).on_stop(channel.close)
    return builder.on_stop(videos.aclose).on_stop(models.aclose).on_stop(folders.aclose)


def main() -> None:
    """Runs the worker."""
    run_service("shoal-worker", WorkerConfig, build)


if __name__ == "__main__":
    main()

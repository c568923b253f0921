"""The engine's process."""

from functools import partial

from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from shoal_common.inference.priority import Priority
from shoal_common.metrics import Metrics
from shoal_common.server import ServerBuilder, run_service
from shoal_common.shm_files import sweep_dead_regions
from shoal_common.watchdog import Watchdog
from shoal_engine.config import EngineConfig
from shoal_engine.inference import Inference
from shoal_engine.models import Model
from shoal_engine.onnx_graph import share_memory
from shoal_engine.processor import processor_name
from shoal_engine.regions import Regions
from shoal_engine.repository import ModelRepository
from shoal_engine.service import SERVICE_NAME, InferenceService
from shoal_engine.streams import Streams


async def build(config: EngineConfig) -> ServerBuilder:
    """Returns the server with everything that it needs."""
    config.model_repository.mkdir(parents=True, exist_ok=True)
    watchdog = Watchdog(limit_seconds=config.stall_seconds)
    streams = Streams(
        stream_count=config.threads.stream_count,
        max_queued_requests=config.queue_limits,
        watchdog=watchdog,
    )
    processor = processor_name()
    repository = ModelRepository(
        folder=config.model_repository,
        loader=partial(Model.load, threads=config.threads, processor=processor),
    )
    regions = Regions()
    inference = Inference(repository=repository, regions=regions, streams=streams)

    async def stop() -> None:
        streams.close()
        sweep_dead_regions()

    builder = ServerBuilder(config, _metrics(streams, repository))
    service = InferenceService(
        inference=inference,
        repository=repository,
        regions=regions,
        is_ready=builder.is_ready,
        processor=processor,
    )
    builder.add(add_GRPCInferenceServiceServicer_to_server, service, SERVICE_NAME)
    for model in config.models_at_start:
        builder.start_with(partial(repository.load, model))
    return builder.run_beside(regions.forget_dead).run_beside(watchdog.run).on_stop(stop)


def _metrics(streams: Streams, repository: ModelRepository) -> Metrics:
    metrics = Metrics("shoal_engine")
    for priority in Priority:
        labels = {"priority": priority.name.lower()}
        count, capacity = partial(streams.request_count, priority), streams.capacity(priority)
        metrics.gauge("queue_requests", "Requests running or waiting.", count, labels)
        metrics.gauge("queue_capacity_requests", "Most of them.", partial(int, capacity), labels)
    metrics.counter("queue_waits", "Requests that have begun.", lambda: streams.waits.count)
    metrics.counter(
        "queue_wait_seconds", "Time they had waited.", lambda: streams.waits.total_ns / 1e9
    )
    metrics.gauge("loaded_versions", "Model versions loaded.", lambda: len(repository.versions("")))
    return metrics


def main() -> None:
    """Runs `python -m shoal_engine`."""
    share_memory()
    run_service("shoal-engine", EngineConfig, build)


if __name__ == "__main__":
    main()

"""The process of shoal-serving: the only place that builds its parts."""

import os
from datetime import UTC, datetime
from typing import assert_never

from shoal.serving.v1 import serving_pb2_grpc
from shoal_common.inference.client import InferenceClient
from shoal_common.metrics import Metrics
from shoal_common.roots import AllowedRoots
from shoal_common.server import ServerBuilder, run_service
from shoal_serving.comparison import Comparer
from shoal_serving.config import ServingConfig
from shoal_serving.conversion import QUANTIZATION, Conversion, ConversionLimits
from shoal_serving.deployments import Deployments
from shoal_serving.engine_control import EngineControl
from shoal_serving.engine_layout import EngineLayout, SharedLayout, TritonLayout
from shoal_serving.imports import Imports, converter_hash
from shoal_serving.registry import Registry
from shoal_serving.service import ServingService
from shoal_serving.trials import Trials
from shoal_serving.triton_repository import TritonLimits, TritonRepository
from shoal_serving.tuner import Tuner

SERVICE_NAME = "shoal.serving.v1.ServingService"


async def build(
    config: ServingConfig, *, conversion: Conversion | None = None, poll_seconds: float = 1.0
) -> ServerBuilder:
    """Returns the server of a registry and its deployments.

    Args:
        config: The process's configuration.
        conversion: How models are imported; by default with Shoal's importer.
        poll_seconds: Time between two looks at an engine whose models are watched.
    """
    registry = Registry(config.home / "models")
    client = InferenceClient(config.engine_target)
    limits = ConversionLimits(
        seconds=config.import_timeout_seconds, memory_bytes=config.import_memory_limit_bytes
    )
    layout = _layout(config, registry)
    engine = EngineControl(
        client, layout, target=config.engine_target, wait_seconds=config.engine_wait_seconds
    )
    deployments = Deployments(
        registry=registry,
        engine=engine,
        poll_seconds=poll_seconds,
        grace_seconds=config.unload_grace_seconds,
    )
    trials = Trials(
        registry=registry, client=client, engine=engine, is_possible=config.engine == "embedded"
    )
    service = ServingService(
        registry=registry,
        imports=Imports(
            registry=registry,
            conversion=conversion or Conversion(limits),
            converter=converter_hash(),
            now=lambda: datetime.now(UTC),
        ),
        tuner=Tuner(
            registry=registry,
            client=client,
            trials=trials,
            quantization=Conversion(limits, QUANTIZATION, task="tuning"),
        ),
        comparer=Comparer(client=client, trials=trials),
        deployments=deployments,
        roots=AllowedRoots(config.allowed_roots),
        layout=layout,
        engine_target=config.engine_target,
    )

    metrics = Metrics("shoal_serving")
    metrics.gauge(
        "deployed_versions",
        "Model versions kept loaded on the engine.",
        lambda: deployments.watched_version_count,
    )

    async def close() -> None:
        await client.aclose()
        registry.close()

    return (
        ServerBuilder(config, metrics)
        .add(serving_pb2_grpc.add_ServingServiceServicer_to_server, service, SERVICE_NAME)
        # Without an engine the registry still answers, and watchers wait.
        .depends_on("engine", client.channel)
        .run_beside(deployments.end_watches_on_stop)
        .run_beside(deployments.unload_left)
        .on_stop(close)
    )


def _layout(config: ServingConfig, registry: Registry) -> EngineLayout:
    match config.engine:
        case "embedded":
            return SharedLayout()
        case "triton":
            count = config.triton_instance_count or len(os.sched_getaffinity(0))
            repository = TritonRepository(config.home / "models" / "triton", TritonLimits(count))
            return TritonLayout(registry=registry, repository=repository)
        case _:
            assert_never(config.engine)


def main() -> None:
    """Runs the process."""
    run_service("shoal-serving", ServingConfig, build)


if __name__ == "__main__":
    main()

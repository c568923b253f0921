"""What the engine tells about its models: metadata, configuration, statistics, index."""

from collections.abc import Sequence

from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as pb

from shoal_common.inference.contract import CONTRACT_PARAMETER
from shoal_common.inference.tuning import PROCESSOR_PARAMETER
from shoal_engine.models import Model
from shoal_engine.regions import Region
from shoal_engine.repository import IndexEntry, Loaded
from shoal_engine.statistics import Duration
from shoal_engine.tensors import TensorSpec

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = (
    "model_repository",
    "model_configuration",
    "system_shared_memory",
    "binary_tensor_data",
    "statistics",
)


def model_metadata(loaded: Sequence[Loaded]) -> pb.ModelMetadataResponse:
    """Returns name, versions, inputs and outputs; the last of the versions speaks for all."""
    model = loaded[-1].model
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[str(each.model.version) for each in loaded],
        platform=PLATFORM,
        inputs=[_tensor(spec) for spec in model.inputs],
        outputs=[_tensor(spec) for spec in model.outputs],
    )


def model_config(model: Model, processor: str) -> pb.ModelConfigResponse:
    """Returns the configuration; pose contract and processor are among its parameters.

    The axis of frames is written out as the first of each tensor (`max_batch_size` 0).
    """
    config = model_config_pb2.ModelConfig(name=model.name, platform=PLATFORM, backend="onnxruntime")
    for spec in model.inputs:
        config.input.add(
            name=spec.name, data_type=_data_type(spec), dims=spec.shape, optional=spec.optional
        )
    for spec in model.outputs:
        config.output.add(name=spec.name, data_type=_data_type(spec), dims=spec.shape)
    config.parameters[PROCESSOR_PARAMETER].string_value = processor
    if model.contract is not None:
        config.parameters[CONTRACT_PARAMETER].string_value = model.contract.to_json()
    return pb.ModelConfigResponse(config=config)


def statistics(loaded: Sequence[Loaded]) -> pb.ModelStatisticsResponse:
    """Returns what each version has done."""
    return pb.ModelStatisticsResponse(
        model_stats=[
            pb.ModelStatistics(
                name=each.model.name,
                version=str(each.model.version),
                last_inference=each.statistics.last_inference_ms,
                inference_count=each.statistics.frame_count,
                execution_count=each.statistics.success.count,
                inference_stats=pb.InferStatistics(
                    success=_duration(each.statistics.success),
                    fail=_duration(each.statistics.fail),
                    queue=_duration(each.statistics.queue),
                    compute_infer=_duration(each.statistics.compute),
                ),
            )
            for each in loaded
        ]
    )


def repository_index(entries: Sequence[IndexEntry]) -> pb.RepositoryIndexResponse:
    """Returns the versions with their states."""
    return pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=entry.name,
                version=entry.version,
                state="READY" if entry.ready else "UNAVAILABLE",
                reason=entry.reason,
            )
            for entry in entries
        ]
    )


def region_status(regions: dict[str, Region]) -> pb.SystemSharedMemoryStatusResponse:
    """Returns the registered regions by name."""
    message = pb.SystemSharedMemoryStatusResponse()
    for name, region in regions.items():
        status = message.regions[name]
        status.name, status.key = name, region.key
        status.offset, status.byte_size = region.offset, region.byte_size
    return message


def _tensor(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype, shape=spec.shape
    )


def _data_type(spec: TensorSpec) -> int:
    return int(model_config_pb2.DataType.Value(f"TYPE_{spec.datatype}"))


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.total_ns)

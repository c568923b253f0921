"""Protobuf ↔ the registry's types."""

from collections.abc import Sequence

import numpy as np

from shoal.serving.v1 import serving_pb2 as pb
from shoal_common.convert import skeleton_message, tensor
from shoal_core.errors import InvalidArgument
from shoal_serving.comparison import Comparison
from shoal_serving.engine_layout import Place
from shoal_serving.exports import ExportFormat
from shoal_serving.registry import Model, Version

_EXPORT_FORMATS: "dict[pb.ExportFormat.ValueType, ExportFormat]" = {
    pb.EXPORT_FORMAT_ONNX: "onnx",
    pb.EXPORT_FORMAT_TRITON: "triton",
}


def model_message(model: Model) -> pb.Model:
    """Returns the wire form of a model."""
    return pb.Model(
        name=f"models/{model.model_id}",
        versions=[version_message(version) for version in model.versions],
        aliases=[
            alias_message(model.model_id, alias, named) for alias, named in model.aliases.items()
        ],
    )


def version_message(version: Version) -> pb.ModelVersion:
    """Returns the wire form of a version."""
    message = pb.ModelVersion(
        name=version.name,
        pose_contract_json=version.contract.to_json(),
        skeleton=skeleton_message(version.contract.skeleton),
        kind=version.contract.kind,
        source_uris=version.source.uris,
        tuning_json="" if version.tuning is None else version.tuning.to_json(),
    )
    message.create_time.FromDatetime(version.create_time)
    return message


def alias_message(model_id: str, alias: str, named: Sequence[int]) -> pb.Alias:
    """Returns the wire form of an alias, and of the versions that it has named, oldest first."""
    *earlier, present = (f"models/{model_id}/versions/{number}" for number in named)
    return pb.Alias(
        name=f"models/{model_id}/aliases/{alias}", version=present, earlier_versions=earlier
    )


def export_format(message: "pb.ExportFormat.ValueType") -> ExportFormat:
    """Returns the format of a request.

    Raises:
        InvalidArgument: FORMAT_UNKNOWN.
    """
    if message not in _EXPORT_FORMATS:
        raise InvalidArgument(
            "FORMAT_UNKNOWN",
            f"There is no export format {message}; name one of ExportFormat.",
        )
    return _EXPORT_FORMATS[message]


def comparison_message(
    versions: Sequence[Version], comparison: Comparison
) -> pb.CompareModelsResponse:
    """Returns the wire form of a comparison."""
    return pb.CompareModelsResponse(
        models=[
            pb.ComparedModel(
                version=version.name,
                instance_count=side.instance_count,
                lone_node_count=side.lone_node_count,
                frame_ms=side.frame_ms,
            )
            for version, side in zip(versions, comparison.sides, strict=True)
        ],
        nodes=comparison.nodes,
        frame_count=comparison.frame_count,
        matched_instance_count=comparison.matched_count,
        distances_px=tensor(comparison.distances_px.astype(np.float32)),
    )


def deployment_message(
    version: Version, place: Place, engine_target: str
) -> pb.WatchDeploymentResponse:
    """Returns where a version that is loaded can be reached."""
    return pb.WatchDeploymentResponse(
        engine_target=engine_target,
        engine_model=place.model,
        engine_version=place.version,
        version=version_message(version),
    )

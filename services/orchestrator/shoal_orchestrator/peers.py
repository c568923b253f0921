"""What the orchestrator asks of other services when a job is created."""

from dataclasses import dataclass

import grpc

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_common import deadlines, names
from shoal_common.inference.contract import PoseContract
from shoal_common.label_revision import label_set_revision
from shoal_common.status import typed_errors
from shoal_core.errors import FailedPrecondition, InvalidArgument, NotFound

_CALL_SECONDS = 120.0


@dataclass(frozen=True)
class ResolvedModel:
    """The version that a model's name meant when it was asked for."""

    version: str
    """models/{model}/versions/{version}."""
    contract: PoseContract


class Videos:
    """Knows videos, through decode."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = decode_pb2_grpc.DecodeServiceStub(channel)

    async def probe(self, uri: str) -> decode_pb2.ProbeVideoResponse:
        """Returns what a video holds.

        Raises:
            ShoalError: Those of `shoal.decode.v1.ProbeVideo`.
        """
        with typed_errors("decode"):
            return await self._stub.ProbeVideo(
                decode_pb2.ProbeVideoRequest(uri=uri), timeout=deadlines.timeout_s(_CALL_SECONDS)
            )


class LabelSets:
    """Knows label sets, through labels."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = labels_pb2_grpc.LabelsServiceStub(channel)

    async def check_exists(self, name: str) -> None:
        """Accepts the name of a label set that is there.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        with typed_errors("labels"):
            await self._stub.GetLabelSet(
                labels_pb2.GetLabelSetRequest(name=name), timeout=deadlines.timeout_s(_CALL_SECONDS)
            )


class TrainingLabels:
    """Knows what can be learned from, through labels."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = labels_pb2_grpc.LabelsServiceStub(channel)

    async def probe(self, uri: str) -> labels_pb2.ProbeLabelsResponse:
        """Returns where a file is and what its bytes are.

        Raises:
            ShoalError: Those of `shoal.labels.v1.ProbeLabels`.
        """
        with typed_errors("labels"):
            return await self._stub.ProbeLabels(
                labels_pb2.ProbeLabelsRequest(uri=uri), timeout=deadlines.timeout_s(_CALL_SECONDS)
            )

    async def revision(self, label_set: str) -> str:
        """Returns the hash of what is in a label set now.

        Raises:
            InvalidArgument: NAME_INVALID.
            NotFound: LABEL_SET_NOT_FOUND.
        """
        with typed_errors("labels"):
            return await label_set_revision(self._stub, label_set)


class Models:
    """Knows models, through serving."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = serving_pb2_grpc.ServingServiceStub(channel)

    async def resolve(self, name: str) -> ResolvedModel:
        """Returns the version behind a model's name, an alias or a version.

        Raises:
            InvalidArgument: NAME_INVALID.
            NotFound: MODEL_NOT_FOUND, also for an alias or version that the model lacks.
        """
        model_name = _model_name(name)
        with typed_errors("serving"):
            response = await self._stub.GetModel(
                serving_pb2.GetModelRequest(name=model_name),
                timeout=deadlines.timeout_s(_CALL_SECONDS),
            )
        version = _choose(response.model, name)
        return ResolvedModel(version.name, PoseContract.from_json(version.pose_contract_json))


def _model_name(name: str) -> str:
    patterns = {"aliases": names.ALIAS, "versions": names.VERSION}
    collection = (*name.split("/"), "", "")[2]
    return f"models/{names.parse(patterns.get(collection, names.MODEL), name)['model']}"


def _choose(model: serving_pb2.Model, name: str) -> serving_pb2.ModelVersion:
    wanted, known = name, [version.name for version in model.versions]
    if name == model.name:
        wanted = known[-1]
    elif name.startswith(f"{model.name}/aliases/"):
        targets = {alias.name: alias.version for alias in model.aliases}
        wanted, known = targets.get(name, ""), list(targets)
    for version in model.versions:
        if version.name == wanted:
            return version
    raise NotFound(
        "MODEL_NOT_FOUND",
        f"There is no {name}; there is {', '.join(known) or 'nothing of its kind'}.",
        model=name,
    )


def check_model_content(model: ResolvedModel, content_hash: str) -> None:
    """Accepts a model that was imported from the files that somebody expects, or any for "".

    Raises:
        FailedPrecondition: MODEL_CHANGED.
    """
    if content_hash and content_hash != model.contract.source_hash:
        raise FailedPrecondition(
            "MODEL_CHANGED",
            f"{model.version} was imported from other files (content {model.contract.source_hash}) "
            f"than expected ({content_hash}); import the model that is meant, or leave "
            "model_content_hash out.",
            model=model.version,
            content_hash=model.contract.source_hash,
            expected=content_hash,
        )


def check_centroids(model: ResolvedModel, label_set: str) -> None:
    """Accepts a label set of centroids, or its absence, for a model.

    Raises:
        InvalidArgument: CENTROIDS_MISSING, CENTROIDS_UNEXPECTED or NAME_INVALID.
    """
    if label_set:
        names.parse(names.LABEL_SET, label_set)
    if model.contract.takes_centroids and not label_set:
        raise InvalidArgument(
            "CENTROIDS_MISSING",
            f"{model.version} finds nodes around given centroids only; give centroids_label_set, "
            "or import it together with a centroid model.",
            model=model.version,
        )
    if label_set and not model.contract.takes_centroids:
        raise InvalidArgument(
            "CENTROIDS_UNEXPECTED",
            f"{model.version} ({model.contract.kind}) finds animals by itself; leave "
            "centroids_label_set out.",
            model=model.version,
            kind=model.contract.kind,
        )

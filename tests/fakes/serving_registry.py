"""Serving as the orchestrator sees it: models with versions, aliases and contracts."""

from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_common.inference.contract import ModelKind, PoseContract
from shoal_core.errors import NotFound, ShoalError
from shoal_core.skeleton import Skeleton


class FakeServingRegistry(serving_pb2_grpc.ServingServiceServicer):
    """Knows the models it was given; `fault` replaces every answer."""

    def __init__(self) -> None:
        self.fault: ShoalError | None = None
        self._models: dict[str, serving_pb2.Model] = {}

    def add_version(self, model: str, kind: ModelKind = "bottomup") -> str:
        """Adds the next version of a model and returns its name."""
        entry = self._models.setdefault(model, serving_pb2.Model(name=model))
        version = entry.versions.add(
            name=f"{model}/versions/{len(entry.versions) + 1}",
            pose_contract_json=_contract(kind).to_json(),
            kind=kind,
        )
        return version.name

    def set_alias(self, name: str, version: str) -> None:
        """Points an alias at a version."""
        self._models[name.rsplit("/", 2)[0]].aliases.add(name=name, version=version)

    async def GetModel(self, request, context):
        if self.fault is not None:
            raise self.fault
        if request.name not in self._models:
            raise NotFound("MODEL_NOT_FOUND", f"There is no {request.name}.", model=request.name)
        return serving_pb2.GetModelResponse(model=self._models[request.name])


def _contract(kind: ModelKind) -> PoseContract:
    return PoseContract(
        family="parts" if "bottomup" in kind else "instances",
        kind=kind,
        skeleton=Skeleton(name="fly", nodes=("head", "thorax"), edges=((0, 1),), symmetries=()),
        channels=1,
        stages=(),
    )

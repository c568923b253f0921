"""The servicer of shoal.serving.v1."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from shoal.serving.v1 import serving_pb2 as pb
from shoal.serving.v1 import serving_pb2_grpc as pb_grpc
from shoal_common import names, paging
from shoal_common.convert import array
from shoal_common.handlers import Context
from shoal_common.roots import AllowedRoots
from shoal_core.errors import InvalidArgument
from shoal_serving import convert
from shoal_serving.comparison import Comparer
from shoal_serving.deployments import Deployments
from shoal_serving.engine_layout import EngineLayout
from shoal_serving.exports import chunks, write_export
from shoal_serving.imports import Imports
from shoal_serving.model_names import check_model_id
from shoal_serving.registry import Registry
from shoal_serving.tuner import Tuner, check_backend


class ServingService(pb_grpc.ServingServiceServicer):
    """Serves the registry and what is deployed from it."""

    def __init__(
        self,
        *,
        registry: Registry,
        imports: Imports,
        tuner: Tuner,
        comparer: Comparer,
        deployments: Deployments,
        roots: AllowedRoots,
        layout: EngineLayout,
        engine_target: str,
    ) -> None:
        self._registry = registry
        self._imports = imports
        self._tuner = tuner
        self._comparer = comparer
        self._deployments = deployments
        self._roots = roots
        self._layout = layout
        self._engine_target = engine_target

    async def ImportModel(
        self, request: pb.ImportModelRequest, context: Context
    ) -> pb.ImportModelResponse:
        """Imports model folders as a version."""
        model_id = check_model_id(request.model_id)
        version, already_imported = await self._imports.run(
            model_id, self._folders(request.source_uris)
        )
        self._deployments.registry_changed()
        return pb.ImportModelResponse(
            version=convert.version_message(version), already_imported=already_imported
        )

    async def TuneModel(
        self, request: pb.TuneModelRequest, context: Context
    ) -> pb.TuneModelResponse:
        """Chooses the backends of a version's networks."""
        version = await asyncio.to_thread(self._registry.resolve, request.name)
        match request.WhichOneof("choice"):
            case "frames":
                tuned = await self._tuner.tune(version, array(request.frames))
            case "backend":
                tuned = await self._tuner.pin(version, check_backend(request.backend))
            case _:
                raise InvalidArgument(
                    "TUNING_UNCLEAR", "Give frames to measure on, or a backend to pin."
                )
        await self._deployments.reload(tuned)
        return pb.TuneModelResponse(version=convert.version_message(tuned))

    async def CompareModels(
        self, request: pb.CompareModelsRequest, context: Context
    ) -> pb.CompareModelsResponse:
        """Runs two versions on the same frames."""
        if len(request.names) != 2:
            raise InvalidArgument("COMPARISON_UNCLEAR", "Name exactly two versions to compare.")
        left, right = [
            await asyncio.to_thread(self._registry.resolve, name) for name in request.names
        ]
        comparison = await self._comparer.compare((left, right), array(request.frames))
        return convert.comparison_message((left, right), comparison)

    async def ExportModel(
        self, request: pb.ExportModelRequest, context: Context
    ) -> AsyncIterator[pb.ExportModelResponse]:
        """Streams a version's files for other programs."""
        export_format = convert.export_format(request.format)
        version = await asyncio.to_thread(self._registry.resolve, request.name)
        workspace = await asyncio.to_thread(self._registry.new_workspace)
        try:
            folder = self._registry.folder(version)
            await asyncio.to_thread(write_export, workspace, export_format, version.model, folder)
            pieces = chunks(workspace)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                path, data = piece
                yield pb.ExportModelResponse(path=path, data=data)
        finally:
            await asyncio.to_thread(self._registry.discard, workspace)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Returns one model."""
        model_id = names.parse(names.MODEL, request.name)["model"]
        model = await asyncio.to_thread(self._registry.model, model_id)
        return pb.GetModelResponse(model=convert.model_message(model))

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """Lists models by name."""
        size = paging.page_size(request.page_size, default=100, limit=1000)
        after = paging.decode_token(request.page_token)
        models = await asyncio.to_thread(self._registry.models, after=after, limit=size + 1)
        page = models[:size]
        has_more = len(models) > size
        return pb.ListModelsResponse(
            models=[convert.model_message(model) for model in page],
            next_page_token=paging.encode_token(page[-1].model_id) if has_more else "",
        )

    async def DeleteModel(
        self, request: pb.DeleteModelRequest, context: Context
    ) -> pb.DeleteModelResponse:
        """Deletes a model and takes it off the engine."""
        model_id = names.parse(names.MODEL, request.name)["model"]
        await asyncio.to_thread(self._registry.delete, model_id)
        self._deployments.registry_changed()
        await self._deployments.unload(model_id)
        return pb.DeleteModelResponse()

    async def SetAlias(self, request: pb.SetAliasRequest, context: Context) -> pb.SetAliasResponse:
        """Points an alias at a version of the same model."""
        ids = names.parse(names.ALIAS, request.name)
        version = names.parse(names.VERSION, request.version)
        if version["model"] != ids["model"]:
            raise InvalidArgument(
                "ALIAS_OF_OTHER_MODEL",
                f"{request.name} cannot point at {request.version}; name a version of the same "
                "model.",
                name=request.name,
                version=request.version,
            )
        named = await asyncio.to_thread(
            self._registry.set_alias, ids["model"], ids["alias"], version["version"]
        )
        self._deployments.registry_changed()
        return pb.SetAliasResponse(alias=convert.alias_message(ids["model"], ids["alias"], named))

    async def RollBackAlias(
        self, request: pb.RollBackAliasRequest, context: Context
    ) -> pb.RollBackAliasResponse:
        """Points an alias at the version before."""
        ids = names.parse(names.ALIAS, request.name)
        named = await asyncio.to_thread(self._registry.roll_back_alias, ids["model"], ids["alias"])
        self._deployments.registry_changed()
        message = convert.alias_message(ids["model"], ids["alias"], named)
        return pb.RollBackAliasResponse(alias=message)

    async def DeleteAlias(
        self, request: pb.DeleteAliasRequest, context: Context
    ) -> pb.DeleteAliasResponse:
        """Removes an alias."""
        ids = names.parse(names.ALIAS, request.name)
        await asyncio.to_thread(self._registry.delete_alias, ids["model"], ids["alias"])
        self._deployments.registry_changed()
        return pb.DeleteAliasResponse()

    async def WatchDeployment(
        self, request: pb.WatchDeploymentRequest, context: Context
    ) -> AsyncIterator[pb.WatchDeploymentResponse]:
        """Streams where a deployment can be reached."""
        async for version in self._deployments.watch(request.name):
            place = self._layout.place(version)
            yield convert.deployment_message(version, place, self._engine_target)

    def _folders(self, uris: Any) -> dict[str, Path]:
        if not uris:
            raise InvalidArgument(
                "SOURCE_URIS_MISSING", "source_uris is empty; name at least one model folder."
            )
        return {uri: self._roots.resolve(uri) for uri in uris}

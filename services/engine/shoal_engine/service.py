"""The Open Inference Protocol v2, `inference.GRPCInferenceService`."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from importlib import metadata
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from shoal_common.drain import running_call
from shoal_common.handlers import Context
from shoal_common.interceptors import error_status
from shoal_common.ordering import in_order
from shoal_engine import describe
from shoal_engine.inference import Inference
from shoal_engine.regions import Regions
from shoal_engine.repository import LATEST, ModelRepository

SERVICE_NAME = "inference.GRPCInferenceService"
_STREAM_LOOK_AHEAD = 16
"""Requests of one stream that are taken in before the first of them is answered."""


class InferenceService(pb_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped stubs
    """Serves models of a repository; errors carry the codes that Triton gives them."""

    def __init__(
        self,
        *,
        inference: Inference,
        repository: ModelRepository,
        regions: Regions,
        is_ready: Callable[[], bool],
        processor: str,
    ) -> None:
        self._inference = inference
        self._repository = repository
        self._regions = regions
        self._is_ready = is_ready
        self._processor = processor

    async def ServerLive(
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        """Whether the models of the start are loaded and others can be."""
        return pb.ServerReadyResponse(ready=self._is_ready())

    async def ModelReady(
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """Whether a version is loaded; an unknown one is not, which is no error."""
        return pb.ModelReadyResponse(ready=self._repository.is_ready(request.name, request.version))

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """Returns name, version and extensions of the protocol."""
        return pb.ServerMetadataResponse(
            name="shoal-engine",
            version=metadata.version("shoal-engine"),
            extensions=describe.EXTENSIONS,
        )

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """Returns inputs and outputs of a model."""
        return describe.model_metadata(self._repository.versions(request.name, request.version))

    async def ModelConfig(
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse:
        """Returns the configuration with the pose contract and the engine's processor."""
        model = self._repository.get(request.name, request.version).model
        return describe.model_config(model, self._processor)

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Runs a model once."""
        return await self._inference.infer(request)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Runs a model once for each request; answers come in the order of the requests.

        A request that fails is answered with its error, and the stream goes on.
        """
        call = running_call.get()
        call.begin_stream()
        answers = in_order(requests, self._stream_item, look_ahead=_STREAM_LOOK_AHEAD)
        async with aclosing(answers):
            async for answer in answers:
                yield answer
                call.end_request()

    async def _stream_item(self, request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
        running_call.get().begin_request()
        try:
            response = await self._inference.infer(request)
        except Exception as error:  # noqa: BLE001 -- one request's failure must not end the others
            message = error_status(error, "ModelStreamInfer").message
            response = pb.ModelInferResponse(id=request.id)
            return pb.ModelStreamInferResponse(error_message=message, infer_response=response)
        return pb.ModelStreamInferResponse(infer_response=response)

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        """Returns counts and durations per version."""
        return describe.statistics(self._repository.versions(request.name, request.version))

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        """Returns the versions in the repository and whether they are loaded."""
        return describe.repository_index(self._repository.index(ready_only=request.ready))

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        """Loads all versions of a model, or the one of parameter `version`."""
        await self._repository.load(request.model_name, _version(request.parameters))
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        """Unloads all versions of a model, or the one of parameter `version`."""
        self._repository.unload(request.model_name, _version(request.parameters))
        return pb.RepositoryModelUnloadResponse()

    async def SystemSharedMemoryStatus(
        self, request: pb.SystemSharedMemoryStatusRequest, context: Context
    ) -> pb.SystemSharedMemoryStatusResponse:
        """Returns the registered regions."""
        return describe.region_status(self._regions.status(request.name))

    async def SystemSharedMemoryRegister(
        self, request: pb.SystemSharedMemoryRegisterRequest, context: Context
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Registers a region of shared memory."""
        self._regions.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, context: Context
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Forgets a region, or all of them if it names none."""
        self._regions.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    async def CudaSharedMemoryStatus(
        self, request: pb.CudaSharedMemoryStatusRequest, context: Context
    ) -> pb.CudaSharedMemoryStatusResponse:
        """There never are any regions on a GPU."""
        return pb.CudaSharedMemoryStatusResponse()

    async def CudaSharedMemoryUnregister(
        self, request: pb.CudaSharedMemoryUnregisterRequest, context: Context
    ) -> pb.CudaSharedMemoryUnregisterResponse:
        """There never are any regions on a GPU."""
        return pb.CudaSharedMemoryUnregisterResponse()

    async def CudaSharedMemoryRegister(
        self, request: pb.CudaSharedMemoryRegisterRequest, context: Context
    ) -> pb.CudaSharedMemoryRegisterResponse:
        """Not offered: this engine runs on the CPU."""
        await _unimplemented(context, "CUDA shared memory")

    async def TraceSetting(
        self, request: pb.TraceSettingRequest, context: Context
    ) -> pb.TraceSettingResponse:
        """Not offered."""
        await _unimplemented(context, "Tracing")

    async def LogSettings(
        self, request: pb.LogSettingsRequest, context: Context
    ) -> pb.LogSettingsResponse:
        """Not offered."""
        await _unimplemented(context, "Log settings")


async def _unimplemented(context: Context, what: str) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{what} is not offered by this engine.")


def _version(parameters: Any) -> str:
    if "version" not in parameters:
        return LATEST
    parameter = parameters["version"]
    return str(parameter.string_param or parameter.int64_param)

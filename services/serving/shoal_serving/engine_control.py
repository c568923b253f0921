"""Repository control of the engine over the Open Inference Protocol."""

import asyncio
import logging

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from shoal_common.status import from_rpc_error
from shoal_core.errors import FailedPrecondition, ShoalError, Unavailable
from shoal_serving.registry import Version

logger = logging.getLogger(__name__)

LOAD_SECONDS = 300.0
"""Most time that an engine has to load a model; a compiling one takes minutes."""
_UNLOAD_SECONDS = 30.0
_RETRY_SECONDS = 0.1


class EngineControl:
    """Loads and unloads models of the registry on one engine."""

    def __init__(self, channel: grpc.aio.Channel, *, target: str, wait_seconds: float) -> None:
        """Takes a channel to `target` and the time that an absent engine has to come up."""
        self._stub = pb_grpc.GRPCInferenceServiceStub(channel)
        self._target = target
        self._wait_seconds = wait_seconds

    async def is_ready(self, version: Version) -> bool:
        """Whether the engine can infer with this version now.

        Raises:
            Unavailable: ENGINE_UNAVAILABLE when no engine answers in time.
        """
        request = pb.ModelReadyRequest(name=version.model, version=str(version.number))
        try:
            async with asyncio.timeout(self._wait_seconds):
                while True:
                    try:
                        response = await self._stub.ModelReady(
                            request, timeout=self._wait_seconds, wait_for_ready=True
                        )
                        return bool(response.ready)
                    except grpc.aio.AioRpcError as error:
                        if error.code() is grpc.StatusCode.NOT_FOUND:
                            return False
                        if error.code() is not grpc.StatusCode.UNAVAILABLE:
                            raise self._typed(error) from error
                    await asyncio.sleep(_RETRY_SECONDS)  # an engine that goes down, or comes up
        except TimeoutError as error:
            raise self._unavailable() from error

    async def load(self, version: Version) -> None:
        """Loads a version and returns when it is ready.

        Raises:
            Unavailable: ENGINE_UNAVAILABLE when the engine goes away meanwhile.
            FailedPrecondition: MODEL_LOAD_FAILED when it refuses the model.
        """
        request = pb.RepositoryModelLoadRequest(model_name=version.model)
        request.parameters["version"].string_param = str(version.number)
        try:
            await self._stub.RepositoryModelLoad(request, timeout=LOAD_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise self._load_error(error, version) from error
        if not await self.is_ready(version):
            raise _load_failed(version, "it is not ready after loading")

    async def unload(self, model_id: str) -> None:
        """Unloads every version of a model; an engine that does not run has nothing to unload.

        Raises:
            ShoalError: What the engine answered.
        """
        request = pb.RepositoryModelUnloadRequest(model_name=model_id)
        try:
            await self._stub.RepositoryModelUnload(request, timeout=_UNLOAD_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                raise self._typed(error) from error
            logger.info("nothing to unload of %s: %s", model_id, error.details())

    def _load_error(self, error: grpc.aio.AioRpcError, version: Version) -> ShoalError:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return self._unavailable()
        return _load_failed(version, error.details() or error.code().name)

    def _typed(self, error: grpc.aio.AioRpcError) -> ShoalError:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._unavailable()
        return from_rpc_error(error, f"the engine at {self._target}")

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            "ENGINE_UNAVAILABLE",
            f"No engine answered at {self._target} within {self._wait_seconds:g} s; start it, or "
            "set another engine_target.",
            engine_target=self._target,
        )


def _load_failed(version: Version, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        "MODEL_LOAD_FAILED",
        f"The engine cannot load version {version.number} of model {version.model!r}: {why}.",
        model=version.model,
        version=version.number,
    )

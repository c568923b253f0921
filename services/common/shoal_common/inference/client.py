"""A client of the Open Inference Protocol v2, with frames in shared memory.

The stubs are those of `tritonclient`, so the same client speaks to Triton and to Shoal's engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal_common.channel import open_channel
from shoal_common.inference.contract import CONTRACT_PARAMETER, PoseContract
from shoal_common.shm import FrameRing, Slots
from shoal_common.status import from_rpc_error
from shoal_core.errors import Internal, NotFound, ResourceExhausted, ShoalError

_DATATYPES = {"uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32"}
_DTYPES = {name: np.dtype(dtype) for dtype, name in _DATATYPES.items()}
_CONTROL_SECONDS = 120.0


@dataclass(frozen=True)
class SharedFrames:
    """Frames in slots of a ring: `shape` is [B, H, W, C]."""

    ring: FrameRing
    slots: Slots
    shape: tuple[int, int, int, int]


class InferenceClient:
    """Speaks to one engine; one channel for as long as it lives."""

    def __init__(self, target: str) -> None:
        self._channel = open_channel(target)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._registered: set[str] = set()

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, NDArray[Any] | SharedFrames],
        *,
        timeout_s: float,
    ) -> dict[str, NDArray[Any]]:
        """Returns all outputs of a model, read-only.

        Raises:
            NotFound: the model is not loaded.
            InvalidArgument: an input does not fit.
            ResourceExhausted: ENGINE_BUSY when the engine's queue is full.
            Unavailable, DeadlineExceeded: the engine cannot be reached, or is too slow.
        """
        request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
        rings = [value.ring for value in inputs.values() if isinstance(value, SharedFrames)]
        for name, value in inputs.items():
            _add_input(request, name, value)
        for ring in rings:
            await self._register(ring)
        try:
            response = await self._call(self._stub.ModelInfer, request, timeout_s)
        except ShoalError as error:
            if not (rings and "shared memory region" in error.message):
                raise
            # The engine has restarted and knows nothing of the ring.
            self._registered.clear()
            for ring in rings:
                await self._register(ring)
            response = await self._call(self._stub.ModelInfer, request, timeout_s)
        return _outputs(response)

    async def load_model(self, model: str) -> None:
        """Loads and warms every version of a model that the repository holds."""
        await self._call(
            self._stub.RepositoryModelLoad,
            service_pb2.RepositoryModelLoadRequest(model_name=model),
            _CONTROL_SECONDS,
        )

    async def unload_model(self, model: str) -> None:
        """Drops a model."""
        await self._call(
            self._stub.RepositoryModelUnload,
            service_pb2.RepositoryModelUnloadRequest(model_name=model),
            _CONTROL_SECONDS,
        )

    async def model_ready(self, model: str, version: str) -> bool:
        """Returns whether a version is loaded and warm."""
        response = await self._call(
            self._stub.ModelReady,
            service_pb2.ModelReadyRequest(name=model, version=version),
            _CONTROL_SECONDS,
        )
        return bool(response.ready)

    async def contract(self, model: str, version: str) -> PoseContract:
        """Returns the pose contract that a served model carries.

        Raises:
            NotFound: CONTRACT_MISSING when it carries none.
        """
        response = await self._call(
            self._stub.ModelConfig,
            service_pb2.ModelConfigRequest(name=model, version=version),
            _CONTROL_SECONDS,
        )
        parameters = response.config.parameters
        if CONTRACT_PARAMETER not in parameters:
            raise NotFound("CONTRACT_MISSING", f"Model {model!r} carries no pose contract.")
        return PoseContract.from_json(parameters[CONTRACT_PARAMETER].string_value)

    async def forget(self, ring: FrameRing) -> None:
        """Tells the engine that a ring is about to go."""
        if ring.name in self._registered:
            self._registered.discard(ring.name)
            await self._call(
                self._stub.SystemSharedMemoryUnregister,
                service_pb2.SystemSharedMemoryUnregisterRequest(name=ring.name),
                _CONTROL_SECONDS,
            )

    async def aclose(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def _register(self, ring: FrameRing) -> None:
        if ring.name not in self._registered:
            await self._call(
                self._stub.SystemSharedMemoryRegister,
                service_pb2.SystemSharedMemoryRegisterRequest(
                    name=ring.name, key=ring.name, offset=0, byte_size=ring.data_bytes
                ),
                _CONTROL_SECONDS,
            )
            self._registered.add(ring.name)

    async def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _typed(error) from error


def _typed(error: grpc.aio.AioRpcError) -> ShoalError:
    # Triton answers UNAVAILABLE for a full queue as well as for an engine that is gone.
    if error.code() is grpc.StatusCode.UNAVAILABLE and "queue" in (error.details() or "").lower():
        return ResourceExhausted("ENGINE_BUSY", "The engine's queue is full; try again.")
    return from_rpc_error(error, "engine")


def _add_input(
    request: service_pb2.ModelInferRequest, name: str, value: NDArray[Any] | SharedFrames
) -> None:
    tensor = request.inputs.add(name=name, shape=value.shape)
    if isinstance(value, SharedFrames):
        tensor.datatype = "UINT8"
        tensor.parameters["shared_memory_region"].string_param = value.ring.name
        tensor.parameters["shared_memory_offset"].int64_param = value.ring.offset_bytes(value.slots)
        tensor.parameters["shared_memory_byte_size"].int64_param = int(np.prod(value.shape))
        return
    tensor.datatype = _DATATYPES[value.dtype.name]
    request.raw_input_contents.append(np.ascontiguousarray(value).tobytes())


def _outputs(response: service_pb2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    if len(response.outputs) != len(response.raw_output_contents):
        raise Internal("ENGINE_ANSWER_INVALID", "The engine's answer lacks the outputs' bytes.")
    return {
        output.name: np.frombuffer(data, _DTYPES[output.datatype]).reshape(output.shape)
        for output, data in zip(response.outputs, response.raw_output_contents, strict=True)
    }

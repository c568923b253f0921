"""A client of the Open Inference Protocol v2, with frames in shared memory.

The stubs are those of `tritonclient`, so the same client speaks to Triton and to Shoal's engine.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal_common import deadlines
from shoal_common.channel import open_channel
from shoal_common.inference.contract import CONTRACT_PARAMETER, PoseContract
from shoal_common.inference.live_streams import LiveStreams
from shoal_common.inference.priority import Priority
from shoal_common.inference.tuning import PROCESSOR_PARAMETER
from shoal_common.shm import FrameRing, Slots
from shoal_common.status import from_rpc_error
from shoal_core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Internal,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ShoalError,
    Unavailable,
)

logger = logging.getLogger(__name__)

_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_DTYPES = {name: np.dtype(dtype) for dtype, name in _DATATYPES.items()}
_CONTROL_SECONDS = 120.0
_LOAD_SECONDS = 300.0
"""Most time that an engine has to load a model; one that compiles takes minutes."""
_FORGET_SECONDS = 5.0
"""Most time for telling that a ring goes; an engine that hangs finds out by itself later."""


@dataclass(frozen=True)
class SharedFrames:
    """Frames in slots of a ring: `shape` is [B, H, W, C]."""

    ring: FrameRing
    slots: Slots
    shape: tuple[int, int, int, int]

    @property
    def pixels_BHWC(self) -> NDArray[np.uint8]:
        """The frames where they lie."""
        return self.ring.view(self.slots, self.shape[1:])


class InferenceClient:
    """Speaks to one engine; one channel for as long as it lives.

    Frames in a ring are read in place by an engine that shares memory with this process, and
    travel inside the request to any other.
    """

    def __init__(self, target: str) -> None:
        self.channel = open_channel(target)
        """The connection to the engine."""
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self._live_streams = LiveStreams(self._stub.ModelStreamInfer)
        self._registered: set[str] = set()
        self._registering = asyncio.Lock()
        self._shares_memory = True

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, NDArray[Any] | SharedFrames],
        *,
        timeout_s: float,
        priority: Priority = Priority.BATCH,
    ) -> dict[str, NDArray[Any]]:
        """Returns all outputs of a model, read-only; the engine stops when the caller gives up.

        Args:
            model: Name in the engine.
            version: Number, as text; empty means the newest.
            inputs: Arrays, or frames in a ring, by name.
            timeout_s: Most time that the engine has; less if the caller has less.
            priority: Class of the request in the engine's queues.

        Raises:
            NotFound: The engine does not have the model.
            InvalidArgument: An input does not fit.
            ResourceExhausted: ENGINE_BUSY when the engine's queue is full.
            Unavailable: The engine cannot be reached, or has not loaded the model.
            DeadlineExceeded: It is too slow.
        """
        request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
        request.parameters["priority"].uint64_param = priority.value
        rings = {value.ring.name for value in inputs.values() if isinstance(value, SharedFrames)}
        try:
            return await self._infer(request, inputs, timeout_s, priority)
        except NotFound as error:
            if not (rings and _is_unknown_region(error)):
                raise
            # The engine has restarted and knows nothing of the rings.
            self._registered.difference_update(rings)
            request.ClearField("inputs")
            request.ClearField("raw_input_contents")
            return await self._infer(request, inputs, timeout_s, priority)

    async def load_model(self, model: str, version: str | None = None) -> None:
        """Loads and warms one version of a model, or every one that the repository holds."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        if version is not None:
            request.parameters["version"].string_param = version
        await self._call(self._stub.RepositoryModelLoad, request, _LOAD_SECONDS)

    async def unload_model(self, model: str, version: str | None = None) -> None:
        """Drops one version of a model, or every one; requests that run end normally."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        if version is not None:
            request.parameters["version"].string_param = version
        await self._call(self._stub.RepositoryModelUnload, request, _CONTROL_SECONDS)

    async def processor(self, model: str, version: str) -> str:
        """Returns which processor the engine runs a loaded model on; empty if it does not tell."""
        return await self._parameter(model, version, PROCESSOR_PARAMETER) or ""

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
        text = await self._parameter(model, version, CONTRACT_PARAMETER)
        if text is None:
            raise NotFound("CONTRACT_MISSING", f"Model {model!r} carries no pose contract.")
        return PoseContract.from_json(text)

    async def forget(self, ring: FrameRing) -> None:
        """Tells the engine that a ring is about to go."""
        if ring.name in self._registered:
            self._registered.discard(ring.name)
            with deadlines.lifted():  # it goes because its user has gone
                await self._call(
                    self._stub.SystemSharedMemoryUnregister,
                    service_pb2.SystemSharedMemoryUnregisterRequest(name=ring.name),
                    _FORGET_SECONDS,
                )

    async def aclose(self) -> None:
        """Closes the channel."""
        self._live_streams.close()
        await self.channel.close()

    async def _parameter(self, model: str, version: str, name: str) -> str | None:
        request = service_pb2.ModelConfigRequest(name=model, version=version)
        response = await self._call(self._stub.ModelConfig, request, _CONTROL_SECONDS)
        parameters = response.config.parameters
        return str(parameters[name].string_value) if name in parameters else None

    async def _infer(
        self,
        request: service_pb2.ModelInferRequest,
        inputs: Mapping[str, NDArray[Any] | SharedFrames],
        timeout_s: float,
        priority: Priority,
    ) -> dict[str, NDArray[Any]]:
        for name, value in inputs.items():
            if isinstance(value, SharedFrames) and not await self._reads(value.ring):
                _add_input(request, name, value.pixels_BHWC)
            else:
                _add_input(request, name, value)
        response = None
        if priority is Priority.LIVE:
            response = await self._live_streams.infer(request, deadlines.timeout_s(timeout_s))
        if response is None:
            response = await self._call(self._stub.ModelInfer, request, timeout_s)
        return _outputs(response)

    async def _reads(self, ring: FrameRing) -> bool:
        """Whether the engine reads the ring's memory; it is asked once."""
        if ring.name in self._registered:
            return True
        async with self._registering:
            if self._shares_memory and ring.name not in self._registered:
                try:
                    await self._register_now(ring)
                    self._registered.add(ring.name)
                except (Unavailable, DeadlineExceeded, ResourceExhausted):
                    raise
                except ShoalError as error:
                    logger.warning("frames travel inside requests: %s", error.message)
                    self._shares_memory = False
        return ring.name in self._registered

    async def _register_now(self, ring: FrameRing) -> None:
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=ring.name, key=ring.name, offset=0, byte_size=ring.data_bytes
        )
        # Registered already: by a call whose answer was lost; names of rings are never reused.
        with contextlib.suppress(AlreadyExists):
            await self._call(self._stub.SystemSharedMemoryRegister, request, _CONTROL_SECONDS)

    async def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, timeout=deadlines.timeout_s(timeout_s))
        except grpc.aio.AioRpcError as error:
            raise _typed(error) from error


def _typed(error: grpc.aio.AioRpcError) -> ShoalError:
    """The error as a caller can act on it.

    Triton answers UNAVAILABLE when its queue is full and when it cannot open shared memory, as
    well as when it is not there; Shoal's engine says which by the reason.
    """
    typed = from_rpc_error(error, "engine")
    if not isinstance(typed, Unavailable):
        return typed
    text = typed.message.lower()
    if typed.reason == "QUEUE_FULL" or "maximum queue size" in text:
        return ResourceExhausted(
            "ENGINE_BUSY", "The engine's queue is full; try again later."
        ).after(typed.retry_after_s)
    if "unable to open shared memory" in text:
        return PermissionDenied(
            "REGION_FORBIDDEN",
            "The engine cannot open the frames in shared memory; run it on the same machine, as "
            "the same user.",
        )
    return typed


def _is_unknown_region(error: NotFound) -> bool:
    by_triton = "unable to find" in error.message.lower() and "shared memory" in error.message
    return error.reason == "REGION_NOT_REGISTERED" or by_triton


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

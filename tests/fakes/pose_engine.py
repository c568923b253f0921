"""An Open Inference engine whose poses are arithmetic on the pixels, over a real socket."""

import asyncio
import mmap
import os
from collections import Counter
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from shoal_common.inference.contract import PoseContract
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.shm_files import open_region
from shoal_common.transport import MESSAGE_OPTIONS
from shoal_core.errors import AlreadyExists, NotFound, ShoalError
from shoal_core.skeleton import Skeleton

NODES = ("head", "thorax", "tail")
MAX_INSTANCES = 4
DATATYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32"}


def contract(**changes: Any) -> PoseContract:
    """The contract of a model that finds up to four animals of three nodes."""
    fields: dict[str, Any] = {
        "family": "instances",
        "kind": "topdown",
        "skeleton": Skeleton("fly", NODES, ((0, 1), (1, 2)), ()),
        "channels": 1,
        "stages": (),
        "max_instances": MAX_INSTANCES,
    }
    return PoseContract(**fields | changes)


def instance_count(frame_HWC: np.ndarray) -> int:
    """What the fake finds in a frame: 1 to 4 animals, by its first pixel."""
    return int(frame_HWC[0, 0, 0]) % MAX_INSTANCES + 1


def points_px(frame_HWC: np.ndarray) -> np.ndarray:
    """Where it finds them [I, N, 2]: every pixel moves them."""
    weights = np.arange(1, frame_HWC.size + 1, dtype=np.float64) % 251
    shift = float(np.dot(frame_HWC.ravel().astype(np.float64), weights)) % 8
    grid = np.arange(instance_count(frame_HWC))[:, None] * 40.0 + np.arange(len(NODES)) * 5.0
    return (np.stack([grid, grid + 1], axis=-1) + shift).astype(np.float32)


def outputs(frames_BHWC: np.ndarray, class_count: int) -> dict[str, np.ndarray]:
    """The whole answer to a batch, by the pose contract."""
    batch = len(frames_BHWC)
    peaks = np.full((batch, MAX_INSTANCES, len(NODES), 2), np.nan, np.float32)
    counts = np.array([instance_count(frame) for frame in frames_BHWC], np.int32)
    for row, frame in enumerate(frames_BHWC):
        peaks[row, : counts[row]] = points_px(frame)
    found = (np.arange(MAX_INSTANCES) < counts[:, None]).astype(np.float32)
    answer = {
        "instance_peaks": peaks,
        "instance_peak_values": np.repeat(found[..., None], len(NODES), axis=2),
        "instance_scores": found * np.float32(0.5),
        "instance_counts": counts,
        "overflow": np.zeros(batch, np.int32),
    }
    if class_count:
        classes = np.eye(MAX_INSTANCES, class_count, dtype=np.float32)[::-1] + np.float32(0.01)
        answer["class_probabilities"] = np.repeat(classes[None], batch, axis=0)
    return answer


class FakePoseEngine(pb_grpc.GRPCInferenceServiceServicer):
    """Serves one model; faults are attributes.

    Requests wait for `gate`. `failures` are raised by the next requests, one each; `refusal` by
    every one. `has_shared_memory` False: regions cannot be opened. `overflows` True: each frame
    has more than can be returned.
    """

    def __init__(self, target: str, *, class_count: int = 0) -> None:
        self.target = target
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[ShoalError] = []
        self.refusal: ShoalError | None = None
        self.has_shared_memory = True
        self.overflows = False
        self.transports: Counter[str] = Counter()
        self.requests: list[dict[str, np.ndarray]] = []
        self.running_count = 0
        self.most_running = 0
        self.registered: dict[str, mmap.mmap] = {}
        self.changed = asyncio.Condition()
        self._class_count = class_count
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens; knows of no region."""
        self.registered.clear()
        self._server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=MESSAGE_OPTIONS)
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Ends at once, as a killed engine does."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def until_running(self, count: int) -> None:
        """Returns once so many requests are being worked on."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.running_count == count)

    async def until_request_count(self, count: int) -> None:
        """Returns once so many requests have been answered."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.requests) >= count)

    async def until_region_count(self, count: int) -> None:
        """Returns once so many regions are registered."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.registered) == count)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        await self._run(1)
        try:
            inputs = self._inputs(request)
            await self.gate.wait()
            if self.refusal is not None:
                raise self.refusal
            if self.failures:
                raise self.failures.pop(0)
            self.requests.append({name: array.copy() for name, array in inputs.items()})
            answer = outputs(inputs["images"], self._class_count)
            answer["overflow"][:] = self.overflows
        finally:
            await asyncio.shield(self._run(-1))
        response = pb.ModelInferResponse()
        for name, array in answer.items():
            response.outputs.add(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:
        if not self.has_shared_memory:
            raise NotFound("REGION_NOT_FOUND", f"There is no {request.key}.")
        if request.name in self.registered:
            raise AlreadyExists("REGION_REGISTERED", f"{request.name} is registered already.")
        descriptor = open_region(request.key, os.O_RDWR)
        async with self.changed:
            self.registered[request.name] = mmap.mmap(descriptor, request.byte_size)
            self.changed.notify_all()
        os.close(descriptor)
        return pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:
        async with self.changed:
            self.registered.pop(request.name, None)
            self.changed.notify_all()
        return pb.SystemSharedMemoryUnregisterResponse()

    async def _run(self, change: int) -> None:
        async with self.changed:
            self.running_count += change
            self.most_running = max(self.most_running, self.running_count)
            self.changed.notify_all()

    def _inputs(self, request: Any) -> dict[str, np.ndarray]:
        raw = iter(request.raw_input_contents)
        arrays = {}
        for tensor in request.inputs:
            dtype = {name: kind for kind, name in DATATYPES.items()}[tensor.datatype]
            if "shared_memory_region" in tensor.parameters:
                self.transports["shared"] += 1
                data = self._region(tensor)
            else:
                if tensor.name == "images":
                    self.transports["inline"] += 1
                data = next(raw)
            arrays[tensor.name] = np.frombuffer(data, dtype).reshape(tuple(tensor.shape))
        return arrays

    def _region(self, tensor: Any) -> bytes:
        parameters = tensor.parameters
        name = parameters["shared_memory_region"].string_param
        if name not in self.registered:
            raise NotFound("REGION_NOT_REGISTERED", f"Shared memory region {name} is unknown.")
        start = parameters["shared_memory_offset"].int64_param
        size = parameters["shared_memory_byte_size"].int64_param
        return self.registered[name][start : start + size]

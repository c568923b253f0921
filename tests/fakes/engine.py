"""An Open Inference engine without networks: repository control over a real socket."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class FakeEngine(pb_grpc.GRPCInferenceServiceServicer):
    """Loads versions that its repository holds, and remembers the calls.

    Faults are attributes: `refusal` is the answer to every load, with `refusal_code`; loads wait
    for `gate`; as many as `lossy_load_count` end well and leave nothing behind, as if the engine
    had been killed and started again in that moment.
    """

    def __init__(self, target: str, repository: Path) -> None:
        self.target = target
        self.refusal = ""
        self.refusal_code = grpc.StatusCode.INVALID_ARGUMENT
        self.lossy_load_count = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.load_started = asyncio.Event()
        self.load_counts: Counter[str] = Counter()
        self.unload_counts: Counter[str] = Counter()
        self.unloaded = asyncio.Event()
        self._repository = repository
        self._loaded: set[tuple[str, str]] = set()
        self._server: grpc.aio.Server | None = None

    @property
    def loaded(self) -> set[tuple[str, str]]:
        """Models and versions that are loaded."""
        return set(self._loaded)

    async def start(self) -> None:
        """Listens, with nothing loaded."""
        self._loaded.clear()
        self._server = grpc.aio.server()
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Ends at once, as a killed engine does."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def ModelReady(self, request: Any, context: Context) -> Any:
        """Whether the version is loaded."""
        return pb.ModelReadyResponse(ready=(request.name, request.version) in self._loaded)

    async def RepositoryModelLoad(self, request: Any, context: Context) -> Any:
        """Loads the version of parameter `version`."""
        self.load_counts[request.model_name] += 1
        self.load_started.set()
        await self.gate.wait()
        if self.refusal:
            await context.abort(self.refusal_code, self.refusal)
        version = request.parameters["version"].string_param
        if not (self._repository / request.model_name / version).is_dir():
            await context.abort(grpc.StatusCode.NOT_FOUND, "not in the repository")
        if self.lossy_load_count:
            self.lossy_load_count -= 1
            return pb.RepositoryModelLoadResponse()
        self._loaded.add((request.model_name, version))
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, context: Context) -> Any:
        """Forgets a model, or the version of parameter `version`."""
        self.unload_counts[request.model_name] += 1
        version = request.parameters["version"].string_param
        self._loaded = {
            key
            for key in self._loaded
            if key[0] != request.model_name or version not in ("", key[1])
        }
        self.unloaded.set()
        return pb.RepositoryModelUnloadResponse()

"""Serving as users of deployments see it: where models are, and when that changes."""

import asyncio

import grpc

from shoal.serving.v1 import serving_pb2 as pb
from shoal.serving.v1 import serving_pb2_grpc as pb_grpc
from shoal_common.inference.contract import PoseContract
from shoal_common.interceptors import ErrorInterceptor
from shoal_core.errors import NotFound, ShoalError


class FakeDeployments(pb_grpc.ServingServiceServicer):
    """Answers watches with what was deployed; faults are attributes.

    `refusal` ends every watch, running ones too. `is_silent`: watches are not answered.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.refusal: ShoalError | None = None
        self.is_silent = False
        self.watch_count = 0
        self._deployed: dict[str, pb.WatchDeploymentResponse] = {}
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens."""
        self._server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        pb_grpc.add_ServingServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Ends at once."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def deploy(self, name: str, engine_target: str, contract: PoseContract) -> None:
        """Tells every watcher of `name` where it is now."""
        version = pb.ModelVersion(name=f"{name}/versions/1", pose_contract_json=contract.to_json())
        self._deployed[name] = pb.WatchDeploymentResponse(
            engine_target=engine_target, engine_model="fly", engine_version="1", version=version
        )
        await self.tell()

    async def refuse(self, refusal: ShoalError | None) -> None:
        """Ends all watches."""
        self.refusal = refusal
        await self.tell()

    async def tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until_watch_count(self, count: int) -> None:
        """Returns once so many watches run."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.watch_count == count)

    async def WatchDeployment(self, request, context):
        await self._watch(1)
        seen = None
        try:
            while True:
                if self.refusal is not None:
                    raise self.refusal
                now = self._deployed.get(request.name)
                if now is None and not self.is_silent:
                    raise NotFound("MODEL_NOT_FOUND", f"There is no {request.name}.")
                if now is not None and now is not seen:
                    seen = now
                    yield now
                    continue
                async with self._changed:
                    await self._changed.wait()
        finally:
            await asyncio.shield(self._watch(-1))

    async def _watch(self, change: int) -> None:
        async with self._changed:
            self.watch_count += change
            self._changed.notify_all()

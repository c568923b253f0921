"""The serving control plane without a registry: says where deployments are, when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_common.inference.contract import PoseContract
from shoal_core.errors import NotFound, Unavailable


class FakeServing(serving_pb2_grpc.ServingServiceServicer):
    """Streams what `deploy` was given; `is_away` ends every watch as a restart does."""

    def __init__(self) -> None:
        self.watch_count = 0
        self._deployments: dict[str, serving_pb2.WatchDeploymentResponse] = {}
        self._changed = asyncio.Condition()
        self._is_away = False

    async def deploy(self, name: str, target: str, model: str, contract: PoseContract) -> None:
        """Deploys version 1 of a model, and tells everybody who watches the name."""
        self._deployments[name] = serving_pb2.WatchDeploymentResponse(
            engine_target=target,
            engine_model=model,
            engine_version="1",
            version=serving_pb2.ModelVersion(pose_contract_json=contract.to_json()),
        )
        await self._notify()

    async def set_away(self, is_away: bool) -> None:
        """Refuses watches, and ends those that are open; or takes them again."""
        self._is_away = is_away
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def WatchDeployment(
        self, request: Any, context: Any
    ) -> AsyncIterator[serving_pb2.WatchDeploymentResponse]:
        """Streams a deployment's place, now and after every change."""
        self.watch_count += 1
        sent = None
        while True:
            if self._is_away:
                raise Unavailable("ENGINE_UNAVAILABLE", "There is no engine.")
            deployment = self._deployments.get(request.name)
            if deployment is None:
                raise NotFound("MODEL_NOT_FOUND", f"There is no {request.name}.")
            if deployment is not sent:
                sent = deployment
                yield deployment
            async with self._changed:
                while not self._is_away and self._deployments.get(request.name) is sent:
                    await self._changed.wait()

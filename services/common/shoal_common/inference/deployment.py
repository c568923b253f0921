"""Where a model is served now: follows `WatchDeployment` for as long as it is needed."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from numpy.typing import NDArray

from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.contract import PoseContract
from shoal_common.status import typed_errors
from shoal_core.errors import (
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    ShoalError,
    Unavailable,
)

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.25
_PATIENCE_SECONDS = 30.0
_REQUEST_SECONDS = 120.0


@dataclass(frozen=True)
class Deployed:
    """A model version that an engine serves."""

    client: InferenceClient
    model: str
    version: str
    contract: PoseContract


class Deployment:
    """One deployment, by name; resolved when first asked for, then watched."""

    def __init__(self, serving: grpc.aio.Channel, name: str) -> None:
        """Prepares to watch `models/{model}[/aliases/{alias}|/versions/{version}]`."""
        self._stub = serving_pb2_grpc.ServingServiceStub(serving)
        self._name = name
        self._clients: dict[str, InferenceClient] = {}
        self._deployed: Deployed | None = None
        self._failure: ShoalError | None = None
        self._changed = asyncio.Condition()
        self._watching: asyncio.Task[None] | None = None

    async def current(self) -> Deployed:
        """Returns where the model is served; waits until it is.

        Raises:
            NotFound: MODEL_NOT_FOUND or ALIAS_NOT_FOUND.
            Unavailable: ENGINE_UNAVAILABLE when nothing serves it in time.
        """
        if self._watching is None or self._watching.done():
            self._failure = None
            self._watching = asyncio.create_task(self._watch())
        async with self._changed:
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: self._deployed or self._failure),
                    _PATIENCE_SECONDS,
                )
            except TimeoutError as error:
                raise Unavailable(
                    "ENGINE_UNAVAILABLE",
                    f"No engine has served {self._name} within {_PATIENCE_SECONDS:g} s; see the "
                    "logs of serving and engine.",
                    deployment=self._name,
                ) from error
        if self._deployed is None:
            assert self._failure is not None
            raise self._failure
        return self._deployed

    async def infer(
        self, inputs: Mapping[str, NDArray[Any] | SharedFrames]
    ) -> tuple[PoseContract, dict[str, NDArray[Any]]]:
        """Returns the contract and the model's outputs.

        An engine that is full, restarting or moving is asked again for a while, wherever the
        deployment is by then.

        Raises:
            ShoalError: What the engine said last; see `InferenceClient.infer` and `current`.
        """
        give_up = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            deployed = await self.current()
            try:
                outputs = await deployed.client.infer(
                    deployed.model, deployed.version, inputs, timeout_s=_REQUEST_SECONDS
                )
            except (Unavailable, NotFound, ResourceExhausted) as error:
                passes = not isinstance(error, ResourceExhausted) or error.reason == "ENGINE_BUSY"
                if not passes or asyncio.get_running_loop().time() >= give_up:
                    raise
                logger.warning("asking the engine for %s again: %s", self._name, error.message)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return deployed.contract, outputs

    async def aclose(self) -> None:
        """Ends the watch and the channels to engines."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    async def _watch(self) -> None:
        request = serving_pb2.WatchDeploymentRequest(name=self._name)
        while True:
            try:
                with typed_errors("serving"):
                    async for response in self._stub.WatchDeployment(request, wait_for_ready=True):
                        await self._set(self._resolved(response), None)
            except (Unavailable, DeadlineExceeded) as error:
                logger.warning("watching %s: %s", self._name, error.message)
            except ShoalError as error:
                await self._set(None, error)
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _set(self, deployed: Deployed | None, failure: ShoalError | None) -> None:
        async with self._changed:
            self._deployed, self._failure = deployed, failure
            self._changed.notify_all()

    def _resolved(self, response: serving_pb2.WatchDeploymentResponse) -> Deployed:
        target = response.engine_target
        if target not in self._clients:
            self._clients[target] = InferenceClient(target)
        return Deployed(
            client=self._clients[target],
            model=response.engine_model,
            version=response.engine_version,
            contract=PoseContract.from_json(response.version.pose_contract_json),
        )

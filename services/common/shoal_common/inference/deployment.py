"""Where a model is served now: follows `WatchDeployment` for as long as it is needed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from numpy.typing import NDArray

from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_common import deadlines
from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.priority import Priority
from shoal_common.shm import FrameRing
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
_FIRST_REQUEST_SECONDS = 600.0
_LEAST_REQUEST_SECONDS = 120.0
_REQUEST_SLACK = 20.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Deployed:
    """A model version that an engine serves."""

    client: InferenceClient
    model: str
    version: str
    contract: PoseContract


class _RequestLimit:
    """How long a request may take: generous against the slowest one that was answered.

    It is the last resort: an engine that hangs is replaced, and ends its requests, before.
    """

    def __init__(self) -> None:
        self.seconds = _FIRST_REQUEST_SECONDS
        self._slowest_seconds = 0.0

    def note(self, seconds: float) -> None:
        """Takes the duration of a request that was answered into account."""
        self._slowest_seconds = max(self._slowest_seconds, seconds)
        self.seconds = max(_LEAST_REQUEST_SECONDS, _REQUEST_SLACK * self._slowest_seconds)


class Deployment:
    """One deployment, by name; resolved when first asked for, then watched."""

    def __init__(
        self,
        serving: grpc.aio.Channel,
        name: str,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepares to watch a deployment.

        Args:
            serving: Where to ask.
            name: `models/{model}[/aliases/{alias}|/versions/{version}]`.
            patience_seconds: Time that an engine has to come up, or back, with the model.
            sleep: Waits.
        """
        self._stub = serving_pb2_grpc.ServingServiceStub(serving)
        self._name = name
        self._sleep = sleep
        self._patience_seconds = patience_seconds
        self._limit = _RequestLimit()
        self._clients: dict[str, InferenceClient] = {}
        self._answer: asyncio.Future[Deployed] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def current(self) -> Deployed:
        """Returns where the model is served; waits until it is.

        Raises:
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
            FailedPrecondition: MODEL_LOAD_FAILED.
            Unavailable: ENGINE_UNAVAILABLE when nothing serves it for a while.
            DeadlineExceeded: ENGINE_UNAVAILABLE when the caller has less time than that.
        """
        if self._answer is None or self._watching is None or self._watching.done():
            # A watch ends with a failure, which may have been cured since.
            self._answer = asyncio.get_running_loop().create_future()
            self._watching = asyncio.create_task(self._watch())
            self._watching.add_done_callback(_take_note)
        answer, watching = self._answer, self._watching
        patience_s = deadlines.timeout_s(self._patience_seconds)
        if not answer.done():
            patience = asyncio.ensure_future(self._sleep(patience_s))
            try:
                waited: list[asyncio.Future[Any]] = [answer, watching, patience]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                patience.cancel()
        if watching.done():
            watching.result()
        if not answer.done():
            raise self._unserved(patience_s)
        return answer.result()

    async def infer(
        self,
        inputs: Mapping[str, NDArray[Any] | SharedFrames],
        *,
        priority: Priority = Priority.BATCH,
    ) -> tuple[PoseContract, dict[str, NDArray[Any]]]:
        """Returns the contract and the model's outputs.

        An engine that is full, restarting or moving is asked again for a while, wherever the
        deployment is by then.

        Raises:
            ShoalError: What the engine said last; see `InferenceClient.infer` and `current`.
        """
        patience: asyncio.Future[None] | None = None
        try:
            while True:
                deployed = await self.current()
                begun = time.monotonic()
                try:
                    outputs = await deployed.client.infer(
                        deployed.model,
                        deployed.version,
                        inputs,
                        timeout_s=self._limit.seconds,
                        priority=priority,
                    )
                except (Unavailable, NotFound, ResourceExhausted) as error:
                    if patience is None:
                        patience_s = deadlines.timeout_s(self._patience_seconds)
                        patience = asyncio.ensure_future(self._sleep(patience_s))
                        logger.warning("asking for %s until it is there: %s", self._name, error)
                    # gRPC says UNAVAILABLE, not DEADLINE_EXCEEDED, of a peer that is away.
                    wait_s = deadlines.timeout_s(error.retry_after_s or _RETRY_SECONDS)
                    if patience.done() or not _may_pass(error) or wait_s == 0:
                        raise
                    await self._sleep(wait_s)
                else:
                    self._limit.note(time.monotonic() - begun)
                    return deployed.contract, outputs
        finally:
            if patience is not None:
                patience.cancel()

    async def forget(self, ring: FrameRing) -> None:
        """Tells the engines that a ring has gone."""
        for client in self._clients.values():
            try:
                await client.forget(ring)
            except ShoalError as error:
                # An engine that is gone has forgotten already, one that refuses must not cost
                # the work that is done.
                logger.warning("the engine was not told of a ring's end: %s", error.message)

    async def aclose(self) -> None:
        """Ends the watch and the channels to engines."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    async def _watch(self) -> None:
        """Follows the deployment; ends with the error that says that there is none."""
        request = serving_pb2.WatchDeploymentRequest(name=self._name)
        while True:
            try:
                with typed_errors("serving"):
                    async for response in self._stub.WatchDeployment(request, wait_for_ready=True):
                        self._set(self._resolved(response))
            except (Unavailable, DeadlineExceeded) as error:
                logger.warning("watching %s: %s", self._name, error.message)
            await self._sleep(_RETRY_SECONDS)

    def _unserved(self, waited_s: float) -> ShoalError:
        error_type = Unavailable if waited_s == self._patience_seconds else DeadlineExceeded
        return error_type(
            "ENGINE_UNAVAILABLE",
            f"No engine has served {self._name} within {waited_s:.3g} s; see the logs of serving "
            "and engine.",
            deployment=self._name,
        )

    def _set(self, deployed: Deployed) -> None:
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
        self._answer.set_result(deployed)

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


def _take_note(watching: asyncio.Task[None]) -> None:
    """Marks a failure as seen, and tells it: whoever asks next begins a new watch."""
    if not watching.cancelled() and (error := watching.exception()) is not None:
        logger.info("a watch has ended: %s", error)


def _may_pass(error: ShoalError) -> bool:
    """Whether waiting may cure it: a full queue or a restart, but not a full memory."""
    return not isinstance(error, ResourceExhausted) or error.reason == "ENGINE_BUSY"

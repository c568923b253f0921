"""grpc.health.v1 of a process: which of its servicers can do their work now.

Asked for `""`, it answers for the process as a whole: *readiness*. SERVING means that its own
start is finished, that every dependency which any of its servicers needs is reachable, and that
it is not stopping. An answer of any kind, NOT_SERVING included, means that the process is alive:
*liveness*. Asked for a servicer, by its full name, it answers for that one.

A dependency is reachable while a connection to it stands, whatever its own health is: so no
failure cascades, and processes that need one another can start in any order. Losing one makes
a servicer NOT_SERVING only after `GRACE_SECONDS`, so that a peer that restarts is not noticed;
finding it again is told at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from shoal_common.drain import stopping
from shoal_common.status import to_status

logger = logging.getLogger(__name__)

Status = health_pb2.HealthCheckResponse
PROCESS = ""
"""The name that stands for the process as a whole."""

GRACE_SECONDS = 5.0
"""Time that a dependency may be gone before it is missed."""


@dataclass(eq=False)
class Dependency:
    """A peer that servicers need."""

    name: str
    channel: grpc.aio.Channel
    needed_by: Collection[str]
    """Servicers that cannot do their work without it, `PROCESS` for work that is not a
    servicer's; empty: it is told in the log and the metrics only."""
    is_reachable: bool = field(default=False, init=False)


class Readiness:
    """What the process answers about itself, and who watches it."""

    def __init__(self, services: Collection[str], dependencies: Collection[Dependency]) -> None:
        """Takes the servicers and dependencies, which may still grow until the start."""
        self._services = services
        self._dependencies = dependencies
        self._has_started = False
        self._is_stopping = False
        self._changed = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether it will never be ready again."""
        return self._is_stopping

    def knows(self, name: str) -> bool:
        """Whether there is a servicer of this name."""
        return name == PROCESS or name in self._services

    def is_ready(self, name: str = PROCESS) -> bool:
        """Whether a servicer, or the process with all of them, can do its work."""
        if not self._has_started or self._is_stopping:
            return False
        missing = [dep for dep in self._dependencies if not dep.is_reachable]
        if name == PROCESS:
            return not any(dependency.needed_by for dependency in missing)
        return not any(name in dependency.needed_by for dependency in missing)

    def finish_start(self) -> None:
        """Notes that the process has made all that it needs."""
        self._has_started = True
        self._announce()

    def stop(self) -> None:
        """Notes that the process stops."""
        self._is_stopping = True
        self._announce()

    @property
    def changed(self) -> asyncio.Event:
        """Is set at the next change of anything; take it first, then look, then wait."""
        return self._changed

    async def follow(self, dependency: Dependency, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Keeps up with a dependency's connection until it is cancelled."""
        loop, channel = asyncio.get_running_loop(), dependency.channel
        missed_at: float | None = None
        while True:
            state = channel.get_state(try_to_connect=True)
            rest: float | None = None
            if state is grpc.ChannelConnectivity.READY:
                missed_at = None
                self._note(dependency, is_reachable=True)
            elif dependency.is_reachable:
                missed_at = missed_at or loop.time() + grace_seconds
                rest = missed_at - loop.time()
                if rest <= 0:
                    rest = None
                    self._note(dependency, is_reachable=False)
            await _wait_for_other_state(channel, state, rest)

    def _note(self, dependency: Dependency, *, is_reachable: bool) -> None:
        if dependency.is_reachable == is_reachable:
            return
        dependency.is_reachable = is_reachable
        if is_reachable:
            logger.info("%s is reachable", dependency.name)
        else:
            logger.warning("%s cannot be reached any more", dependency.name)
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _wait_for_other_state(
    channel: grpc.aio.Channel, state: grpc.ChannelConnectivity, timeout_s: float | None
) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await channel.wait_for_state_change(state)
    except TimeoutError:
        return


class HealthService(health_pb2_grpc.HealthServicer):
    """Tells `Readiness` to whoever asks."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """Returns how a servicer does now; NOT_FOUND for one that is not here."""
        if not self._readiness.knows(request.service):
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"There is no service {request.service!r} here."
            )
        return Status(status=self._status(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Streams how a servicer does, now and after every change, until the process stops."""
        last: Any = None
        while True:
            changed = self._readiness.changed
            status = self._status(request.service)
            if status != last:
                yield Status(status=status)
                last = status
            if self._readiness.is_stopping:
                await context.abort_with_status(rpc_status.to_status(to_status(stopping())))
            await changed.wait()

    def _status(self, name: str) -> Any:
        if not self._readiness.knows(name):
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if self._readiness.is_ready(name) else Status.NOT_SERVING

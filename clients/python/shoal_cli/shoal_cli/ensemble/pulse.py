"""Whether services answer: a health check each period, without waiting for any."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from shoal_cli.ensemble.specification import Service, Supervision


class Check(Protocol):
    """A health check that is under way."""

    def done(self) -> bool:
        """Whether it has been answered, or its time is over."""

    def answered(self) -> bool:
        """Whether the service answered at all; only once it is done."""


class Checker(Protocol):
    """Begins health checks."""

    def begin(self, target: str, timeout_s: float) -> Check:
        """Asks the service at `target` how it does; returns at once."""


@dataclass
class _Heard:
    """What is known of one process of a service."""

    pid: int
    missed_count: int = 0
    """Checks without an answer since the last one with."""
    has_answered: bool = False
    check: Check | None = None


@dataclass(frozen=True)
class Beat:
    """What one round of checks has found, by the names of services."""

    hung: tuple[str, ...]
    """Silent for too long."""
    came_up: tuple[str, ...]
    """Heard for the first time since their process was started."""


@dataclass
class Pulse:
    """Counts the checks that each service has missed one after another."""

    checker: Checker
    supervision: Supervision
    _heard: dict[str, _Heard] = field(default_factory=dict)

    def beat(self, services: Mapping[str, Service], pids: Mapping[str, int]) -> Beat:
        """Begins a check of every service that runs; returns what the last ones have found.

        Args:
            services: By name.
            pids: Processes of the services that run now, by name.
        """
        silent = [name for name, pid in pids.items() if not self.has_answered(name, pid)]
        for name, pid in pids.items():
            self._check(services[name], pid)
        return Beat(
            hung=tuple(name for name in pids if self._is_silent_for_too_long(name)),
            came_up=tuple(name for name in silent if self._heard[name].has_answered),
        )

    def has_answered(self, name: str, pid: int) -> bool:
        """Whether a process of a service has ever answered."""
        heard = self._heard.get(name)
        return heard is not None and heard.pid == pid and heard.has_answered

    def _check(self, service: Service, pid: int) -> None:
        heard = self._heard.get(service.name)
        if heard is None or heard.pid != pid:
            heard = self._heard[service.name] = _Heard(pid)
        if heard.check is not None:
            if not heard.check.done():
                return
            if heard.check.answered():
                heard.has_answered, heard.missed_count = True, 0
            else:
                heard.missed_count += 1
        heard.check = self.checker.begin(service.target, self.supervision.period_seconds)

    def _is_silent_for_too_long(self, name: str) -> bool:
        heard, rules = self._heard[name], self.supervision
        patience_s = rules.silence_seconds if heard.has_answered else rules.start_seconds
        return heard.missed_count * rules.period_seconds >= patience_s


class _GrpcCheck:
    def __init__(self, call: Any) -> None:
        self._call = call

    def done(self) -> bool:
        return bool(self._call.done())

    def answered(self) -> bool:
        from grpc import StatusCode

        # A service that says no, or knows no health, is there.
        return self._call.code() not in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)


class GrpcChecker:
    """Asks through grpc.health.v1; one channel per service for as long as it lives."""

    def __init__(self) -> None:
        self._stubs: dict[str, Any] = {}

    def begin(self, target: str, timeout_s: float) -> Check:
        """Asks the service at `target` how it does; returns at once."""
        # Imported by the first check, when the services have started: they want the cores more.
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        from shoal_common.channel import open_sync_channel

        if target not in self._stubs:
            self._stubs[target] = health_pb2_grpc.HealthStub(open_sync_channel(target))
        request = health_pb2.HealthCheckRequest()
        return _GrpcCheck(self._stubs[target].Check.future(request, timeout=timeout_s))

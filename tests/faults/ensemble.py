"""A whole ensemble whose services are started again when they have ended."""

import dataclasses
import os
import secrets
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from shoal_cli.ensemble.children import Children
from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.services import services, socket_folder, unix_targets
from shoal_cli.ensemble.specification import Service
from shoal_client import Health, Targets, check_health
from tests.faults.fault import SERVICES

MARK = "SHOAL_FAULTS_MARK"
"""Environment variable by which everything that an ensemble has started is found."""

SECOND_WORKER = "second-worker"

_WATCH_SECONDS = 0.02
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_REGIONS = Path("/dev/shm")


class FaultyEnsemble:
    """Every service of a job as a process, and one more worker where wanted.

    A process that ends is started again after `away_seconds`.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Sequence[str]], *, second_worker: bool
    ) -> None:
        """Prepares an ensemble whose home lies in `folder`; `settings` are KEY=VALUE a service."""
        self.home = Home(folder / "home")
        self.pids: set[int] = set()
        """Every service process that there ever was."""
        self.away_seconds = 0.0
        self._due: dict[str, float] = {}
        self._sockets = socket_folder({})
        targets = unix_targets(SERVICES, self._sockets)
        self._services = {
            service.name: _with_settings(service, settings.get(service.name, ()))
            for service in services(SERVICES, targets, self.home, ["/"])
        }
        if second_worker:
            self._services[SECOND_WORKER] = _twin(self._services["worker"])
        self._mark = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._supervising = threading.Thread(target=self._supervise, name="supervisor")
        self._children = Children(self.home, inherited=[])

    @property
    def targets(self) -> Targets:
        """Where a client finds the services."""
        names = ("decode", "serving", "labels", "orchestrator")
        return Targets(**{name: self._services[name].target for name in names})

    def __enter__(self) -> Self:
        self.home.create()
        self._sockets.mkdir(mode=0o700)
        with self._lock:
            for name in self._services:
                self._start(name)
        self._supervising.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._supervising.join()
        killed = self._children.stop(_STOP_SECONDS)
        for path in self._sockets.iterdir():
            path.unlink()
        self._sockets.rmdir()
        if exc is None:
            assert not killed, f"did not stop in time: {', '.join(killed)}"

    def wait_until_serving(self) -> None:
        """Returns when every service serves."""
        deadline = time.monotonic() + _START_SECONDS
        for service in self._services.values():
            while check_health(service.target, timeout_s=1.0) is not Health.SERVING:
                assert time.monotonic() < deadline, f"{service.name} never served"
                time.sleep(_WATCH_SECONDS)

    def send(self, name: str, number: signal.Signals) -> int:
        """Sends a signal to a service as it is now; returns its process id."""
        with self._lock:
            pid = next(state.pid for state in self._children.states if state.name == name)
            os.kill(pid, number)
            return pid

    def send_if_same(self, pid: int, number: signal.Signals) -> None:
        """Sends a signal to a process of a service, if it is one still."""
        with self._lock:
            if any(s.pid == pid and s.exit_status is None for s in self._children.states):
                os.kill(pid, number)

    def leftovers(self) -> list[str]:
        """Returns shared memory that services have left, in the file system or mapped."""
        regions = {str(path) for pid in self.pids for path in _REGIONS.glob(f"shoal-{pid}-*")}
        for state in self._children.states:
            regions.update(f"{state.name}: {region}" for region in _mapped_regions(state.pid))
        return sorted(regions)

    def processes(self) -> list[str]:
        """Returns every process of this ensemble, and whatever those have started."""
        return [
            f"{process.pid} {' '.join(process.cmdline())}"
            for process in psutil.process_iter()
            if _environment(process).get(MARK) == self._mark
        ]

    def _supervise(self) -> None:
        while not self._stopping.wait(_WATCH_SECONDS):
            now = time.monotonic()
            with self._lock:
                for state in self._children.take_exits():
                    self._due[state.name] = now + self.away_seconds
                for name in [name for name, due in self._due.items() if due <= now]:
                    del self._due[name]
                    self._start(name)

    def _start(self, name: str) -> None:
        os.environ[MARK] = self._mark
        try:
            self._children.start(self._services[name])
        finally:
            del os.environ[MARK]
        self.pids.update(state.pid for state in self._children.states)


def _twin(worker: Service) -> Service:
    target = f"{worker.target}-2"
    return dataclasses.replace(
        _with_settings(worker, [f"listen={target}"]), name=SECOND_WORKER, target=target
    )


def _with_settings(service: Service, settings: Sequence[str]) -> Service:
    return dataclasses.replace(service, settings=(*service.settings, *settings))


def _mapped_regions(pid: int) -> set[str]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {line.split(maxsplit=5)[5] for line in lines if f"{_REGIONS}/shoal-" in line}


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return {}

"""The processes of an ensemble, as seen by their parent."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.specification import Service
from shoal_cli.ensemble.state import ServiceState

_LARGEST_LOG_BYTES = 8 * 1024 * 1024


class Children:
    """Services as child processes; each stops when the pipe to its standard input closes.

    The pipe is held by this process alone, so that its death, however it comes, ends them.
    Each leads a session of its own: Ctrl-C in the terminal does not reach it, and whatever it
    has started goes with it.
    """

    def __init__(self, home: Home, *, inherited: Sequence[int]) -> None:
        self._home = home
        self._inherited = tuple(inherited)
        self._lifeline_end, self._lifeline = os.pipe()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[str, int] = {}
        self._states: dict[str, ServiceState] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(grace_seconds=0.0)

    @property
    def states(self) -> tuple[ServiceState, ...]:
        """Every service that was started, in order."""
        return tuple(self._states.values())

    def start(self, service: Service) -> None:
        """Starts a service; its output is appended to its log."""
        settings = [part for setting in service.settings for part in ("--set", setting)]
        with _open_log(self._home.log_file(service.name)) as log:
            self._log_starts[service.name] = log.tell()
            # -P: a module in the working directory must not shadow a library.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", service.module, *settings, "--lifeline"],
                stdin=self._lifeline_end,
                stdout=log,
                stderr=log,
                cwd=self._home.folder,
                start_new_session=True,
                pass_fds=self._inherited,
            )
        self._processes[service.name] = process
        self._states[service.name] = ServiceState(service.name, service.target, process.pid)

    def take_exits(self) -> list[ServiceState]:
        """Returns the services that have ended since the last call."""
        exits = []
        for name, process in list(self._processes.items()):
            status = process.poll()
            if status is None:
                continue
            _kill_session(process.pid)
            del self._processes[name]
            state = self._states[name]
            self._states[name] = ServiceState(
                name, state.target, state.pid, status, self._last_line(name)
            )
            exits.append(self._states[name])
        return exits

    def stop(self, grace_seconds: float) -> list[str]:
        """Ends every process; returns the names of those that had to be killed."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            os.close(self._lifeline_end)
            self._lifeline = -1
        deadline = time.monotonic() + grace_seconds
        killed = []
        for name, process in self._processes.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed.append(name)
            _kill_session(process.pid)
            process.wait()
        self._processes.clear()
        return killed

    def _last_line(self, name: str) -> str:
        return last_line(self._home.log_file(name), self._log_starts[name])


def last_line(path: Path, start: int = 0) -> str:
    """Returns the last line that is not blank, from byte `start` of a text file on."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - 8192))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:500]


def _open_log(path: Path) -> io.BufferedWriter:
    if path.exists() and path.stat().st_size > _LARGEST_LOG_BYTES:
        os.replace(path, path.with_suffix(".log.1"))
    return path.open("ab")


def _kill_session(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return

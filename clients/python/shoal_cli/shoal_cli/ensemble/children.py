"""The processes of an ensemble, as seen by their parent."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.logs import last_line, open_log, trim
from shoal_cli.ensemble.specification import Service
from shoal_cli.ensemble.state import ServiceState


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
        """Starts a service, for the first time or again; its output is appended to its log."""
        settings = [part for setting in service.settings for part in ("--set", setting)]
        with open_log(self._home.log_file(service.name)) as log:
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
        last = self._states.get(service.name)
        restart_count = 0 if last is None else last.restart_count + 1
        self._states[service.name] = ServiceState(
            service.name, service.target, process.pid, restart_count=restart_count
        )

    def kill(self, name: str) -> None:
        """Ends a process that runs, and whatever it has started, at once."""
        _kill_session(self._processes[name].pid)

    def give_up(self, name: str) -> ServiceState:
        """Notes that a process that has ended stays so; returns its state."""
        self._states[name] = dataclasses.replace(self._states[name], given_up=True)
        return self._states[name]

    def trim_logs(self) -> None:
        """Keeps the logs from growing without bound."""
        for name in self._processes:
            if trim(self._home.log_file(name)):
                self._log_starts[name] = 0

    def take_exits(self) -> list[ServiceState]:
        """Returns the services that have ended since the last call."""
        exits = []
        for name, process in list(self._processes.items()):
            status = process.poll()
            if status is None:
                continue
            _kill_session(process.pid)
            del self._processes[name]
            self._states[name] = dataclasses.replace(
                self._states[name], exit_status=status, last_line=self._last_line(name)
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


def _kill_session(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return

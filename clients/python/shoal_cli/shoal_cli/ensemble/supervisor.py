"""The process that owns an ensemble: its lock, its sockets' folder and its services.

`python -m shoal_cli.ensemble.supervisor` reads a `Specification` from the first line of its
standard input and says what happens in lines of JSON on its standard output:

    {"event": "started"}
    {"event": "given_up", "service": {...}}    a service has ended and stays so
    {"event": "refused", "reason": ..., "message": ...}

A service that ends is started again, and one that does not answer is killed first; one that
ends again and again, or cannot start at all, is given up. An ensemble ends when its standard
input is closed, which the death of the command does, unless the line `stay` was read before:
`shoal up` says so once all serves. It also ends on SIGTERM, and an embedded one with a service
that is given up. Either way the
supervisor waits for its services, kills those that stay, and removes the sockets' folder. If
it is killed itself, the services still end with it, and the next one cleans up after it.
"""

import contextlib
import dataclasses
import json
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal_cli.ensemble.children import Children
from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.leftovers import remove_dead_regions, remove_socket_folder
from shoal_cli.ensemble.lock import Holder, HomeLock
from shoal_cli.ensemble.logs import stamped, trim
from shoal_cli.ensemble.pulse import GrpcChecker, Pulse
from shoal_cli.ensemble.specification import STAY, Specification
from shoal_cli.ensemble.state import EnsembleState
from shoal_cli.ensemble.upkeep import Upkeep
from shoal_cli.ensemble.wakeup import Wakeup
from shoal_core.errors import ShoalError

_LIFELINE = 0
_EVENTS = 1
_LOG = 2
_LOCK_WAIT_SECONDS = 20.0


class Supervisor:
    """Runs one ensemble from start to end."""

    def __init__(self, specification: Specification, wakeup: Wakeup) -> None:
        self._specification = specification
        self._home = Home(specification.home)
        self._wakeup = wakeup

    def run(self) -> None:
        """Runs the ensemble until it is to end.

        Raises:
            FailedPrecondition: HOME_LOCKED when another ensemble has this home.
        """
        folder = self._specification.socket_folder
        holder = Holder(
            pid=os.getpid(),
            mode=self._specification.mode,
            command=self._specification.command,
            command_pid=os.getppid(),
            socket_folder=None if folder is None else str(folder),
        )
        lock = HomeLock.acquire(self._home.lock_file, holder, self._patience())
        try:
            if lock.previous is not None and lock.previous.socket_folder is not None:
                remove_socket_folder(Path(lock.previous.socket_folder))
            with Children(self._home, inherited=[lock.descriptor]) as children:
                upkeep = self._start(children)
                self._watch(children, upkeep)
                lock.write(dataclasses.replace(holder, stopping=True))
                self._stop(children)
        finally:
            remove_socket_folder(folder)
            if self._specification.mode == "machine":
                self._home.state_file.unlink(missing_ok=True)
            lock.release()

    def _patience(self) -> Callable[[], bool]:
        """Returns what waits a moment for a holder that is leaving, up to a limit."""
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS

        def wait() -> bool:
            select.select([self._wakeup], [], [], 0.05)
            return time.monotonic() < deadline and not self._wakeup.stop_requested

        return wait

    def _start(self, children: Children) -> Upkeep:
        if self._specification.socket_folder is not None:
            self._specification.socket_folder.mkdir(mode=0o700)
        supervision = self._specification.supervision
        upkeep = Upkeep(
            self._specification.services,
            children=children,
            pulse=Pulse(GrpcChecker(), supervision),
            supervision=supervision,
            clock=time.monotonic,
            has_room=lambda: not self._home.is_full,
            log=_log,
        )
        upkeep.start()
        self._write_state(children)
        _send({"event": "started"})
        return upkeep

    def _watch(self, children: Children, upkeep: Upkeep) -> None:
        watched = [self._wakeup.fileno(), _LIFELINE]
        while not self._wakeup.stop_requested:
            ready, _, _ = select.select(watched, [], [], upkeep.seconds_to_next())
            self._wakeup.drain()
            if _LIFELINE in ready:
                if os.read(_LIFELINE, 4096) != STAY:
                    return
                watched.remove(_LIFELINE)
            has_changed, given_up = upkeep.tend()
            for state in given_up:
                _send({"event": "given_up", "service": dataclasses.asdict(state)})
            if given_up and self._specification.mode == "embedded":
                return
            if has_changed:
                self._write_state(children)
            trim(self._home.log_file("supervisor"))

    def _stop(self, children: Children) -> None:
        killed = children.stop(self._specification.grace_seconds)
        if killed:
            _log(f"killed, as they did not stop in time: {', '.join(killed)}")
        remove_dead_regions()

    def _write_state(self, children: Children) -> None:
        if self._specification.mode != "machine":
            return
        try:
            EnsembleState(os.getpid(), children.states).write(self._home.state_file)
        except OSError as error:  # a full disk must not end the services; `status` is late
            _log(f"{self._home.state_file} cannot be written: {error.strerror}")


def _send(event: dict[str, Any]) -> None:
    try:
        os.write(_EVENTS, json.dumps(event).encode() + b"\n")
    except BrokenPipeError:
        _log(f"nobody listens any more: {event['event']}")


def _log(message: str) -> None:
    # A log that cannot be written must not end the services.
    with contextlib.suppress(OSError):
        os.write(_LOG, stamped("supervisor", message).encode())


def _read_line(descriptor: int) -> str:
    """Returns the first line, and leaves what follows it alone."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return ""
        line += chunk
    return line.decode()


def main() -> int:
    """Runs the ensemble that standard input asks for."""
    line = _read_line(_LIFELINE)
    if not line:
        return 0  # the command died before it could ask for anything
    with Wakeup() as wakeup:
        try:
            Supervisor(Specification.from_json(line), wakeup).run()
        except ShoalError as error:
            _send({"event": "refused", "reason": error.reason, "message": error.message})
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

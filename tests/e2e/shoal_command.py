"""The `shoal` command as a user runs it: a process, a home of its own, a terminal if wanted."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.lock import current_holder

SHOAL = [sys.executable, "-m", "shoal_cli"]
COUNTS = re.compile(r"(\d+)/(\d+) frames")


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "SHOAL_HOME": str(home)}


def shoal(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [*SHOAL, *map(str, arguments)],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def _command_line(process: psutil.Process) -> list[str]:
    """Returns its words; none of one that has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


class InTerminal:
    """A command whose progress is shown in a terminal, where it can be followed."""

    def __init__(self, home: Path, arguments: Sequence[object]) -> None:
        self._terminal, other_end = pty.openpty()
        self._home = home
        self.said = ""
        self.process = subprocess.Popen(
            [*SHOAL, *map(str, arguments)],
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=other_end,
            start_new_session=True,
        )
        os.close(other_end)

    def wait_for_frames(self, count: int) -> None:
        """Returns when more than `count` frames have been inferred."""
        while not any(int(done) > count for done, _ in COUNTS.findall(self.said)):
            self._listen()

    def wait_for_text(self, text: str) -> None:
        """Returns when the terminal has shown something."""
        while text not in self.said:
            self._listen()

    def kill_service(self, name: str) -> int:
        """Kills a service of its ensemble; returns the process id that it had."""
        (service,) = (
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if f"shoal_{name}" in _command_line(child)
        )
        service.kill()
        return service.pid

    def finish(self) -> int:
        """Returns the exit status once the process has ended by itself."""
        with contextlib.suppress(OSError):  # every other end is closed
            while chunk := os.read(self._terminal, 65536):
                self.said += chunk.decode(errors="replace")
        os.close(self._terminal)
        return self.process.wait(timeout=60)

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and returns the exit status once the process has gone."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        self._listen()
        os.close(self._terminal)
        return status

    def belongings(self) -> tuple[set[int], Path]:
        """Returns the processes that it has started, and the folder of their sockets."""
        holder = current_holder(Home(self._home).lock_file)
        assert holder is not None
        assert holder.socket_folder is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        return {child.pid for child in children}, Path(holder.socket_folder)

    def _listen(self) -> None:
        try:
            chunk = os.read(self._terminal, 65536)
        except OSError:  # every other end is closed
            chunk = b""
        assert chunk or self.process.poll() is not None, self.said
        self.said += chunk.decode()


def assert_nothing_left(processes: set[int], folder: Path, timeout_s: float = 30.0) -> None:
    """Fails unless processes, sockets and shared memory are gone within seconds."""
    deadline = time.monotonic() + timeout_s
    while left := _left(processes, folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _left(processes: set[int], folder: Path) -> list[str]:
    alive = [str(pid) for pid in processes if psutil.pid_exists(pid)]
    regions = [str(path) for pid in processes for path in Path("/dev/shm").glob(f"shoal-{pid}-*")]
    return alive + regions + ([str(folder)] if folder.exists() else [])

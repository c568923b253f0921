"""`shoal track` with an ensemble of its own, disturbed, and typed again where it has to be."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from shoal_cli.ensemble.home import Home
from tests.faults.belongings import environment, marked, new_mark, regions_of
from tests.faults.ensemble import SERVICE_SETTINGS, SUPERVISION
from tests.faults.fault import Fault, Kind
from tests.faults.jobs import FRAMES, file_digest

_SECONDS = 180.0
_SETTLE_SECONDS = 30.0
_PERIOD_SECONDS = 0.02
_STATUS = {Kind.KILL: -signal.SIGKILL, Kind.INTERRUPT: 128 + signal.SIGINT}


class CommandBench:
    """One home in which the same command is run again and again, its results thrown away."""

    def __init__(self, video: Path, model: Path, folder: Path) -> None:
        self._home = Home(folder / "home")
        self._output = folder / "out" / "tracked.slp"
        self._sockets = folder / "run"
        for made in (self._home.folder, self._output.parent, self._sockets):
            made.mkdir(parents=True)
        self._home.config_file.write_text(_config())
        self._mark = new_mark()
        self._environment = environment(
            self._mark, SHOAL_HOME=str(self._home.folder), XDG_RUNTIME_DIR=str(self._sockets)
        )
        frames = f"{FRAMES.start}-{FRAMES.stop - 1}"
        words = ["track", video, "-m", model, "-o", self._output, "--tracker", "window"]
        self._command = [sys.executable, "-m", "shoal_cli", *map(str, words), "--frames", frames]
        self._pids: set[int] = set()
        self._track_to_the_end()  # the model is registered from here on
        self._forget()
        begun = time.monotonic()
        self._track_to_the_end()
        self._undisturbed_seconds = time.monotonic() - begun
        self._undisturbed = file_digest(self._output)

    def run(self, fault: Fault) -> str:
        """Runs the command beside a fault; returns what is wrong with it, if anything."""
        self._forget()
        process = self._start()
        self._disturb(process, fault)
        said = _said(process)
        complaint = _complaint(fault, process.returncode, said) or self._left(fault)
        if complaint:
            return complaint
        if process.returncode != 0:
            self._track_to_the_end()
        if file_digest(self._output) != self._undisturbed:
            return "the poses differ"
        return self._left(fault)

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _track_to_the_end(self) -> None:
        process = self._start()
        said = _said(process)
        assert process.returncode == 0, said

    def _forget(self) -> None:
        """Throws results away, so that the command has everything to do."""
        for name in ("jobs", "labels"):
            shutil.rmtree(self._home.folder / name, ignore_errors=True)
        self._output.unlink(missing_ok=True)

    def _disturb(self, process: "subprocess.Popen[str]", fault: Fault) -> None:
        time.sleep(fault.moment * self._undisturbed_seconds)
        pid = self._find(process, fault.victim)
        self._pids.update(marked(self._mark))
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it ended by itself before
            if fault.kind is not Kind.PAUSE:
                os.kill(pid, _SIGNALS[fault.kind])
                return
            os.kill(pid, signal.SIGSTOP)
            time.sleep(fault.pause_seconds)
            os.kill(pid, signal.SIGCONT)

    def _find(self, process: "subprocess.Popen[str]", victim: str) -> int | None:
        """Returns the process of a victim once it is there; None if the command ends first."""
        module = "shoal_cli.ensemble.supervisor" if victim == "supervisor" else f"shoal_{victim}"
        while process.poll() is None:
            if victim == "command":
                return process.pid
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    if module in child.cmdline():
                        return child.pid
                except (psutil.NoSuchProcess, psutil.ZombieProcess):
                    continue
            time.sleep(_PERIOD_SECONDS)
        return None

    def _left(self, fault: Fault) -> str:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while left := self._leftovers(fault):
            if time.monotonic() > deadline:
                return f"left: {', '.join(left)}"
            time.sleep(_PERIOD_SECONDS)
        return ""

    def _leftovers(self, fault: Fault) -> list[str]:
        halves = [path.name for path in self._output.parent.iterdir() if path != self._output]
        left = [*marked(self._mark).values(), *regions_of(self._pids), *halves]
        if fault.victim != "supervisor":  # the folder of a killed one goes with the next
            left += [str(path) for path in self._sockets.iterdir()]
        return left


_SIGNALS = {
    Kind.KILL: signal.SIGKILL,
    Kind.HANG: signal.SIGSTOP,
    Kind.INTERRUPT: signal.SIGINT,
}


def _said(process: "subprocess.Popen[str]") -> str:
    """Returns what a command wrote to standard error until it ended.

    Raises:
        TimeoutError: It did not end, and was killed.
    """
    try:
        return process.communicate(timeout=_SECONDS)[1]
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise TimeoutError(f"the command did not end within {_SECONDS:g} s") from error


def _complaint(fault: Fault, status: int, said: str) -> str:
    """Returns what is wrong with the end of a command that was disturbed."""
    if "Traceback" in said:
        return f"a traceback: {said}"
    if status == 0:
        return ""
    if fault.victim == "command" and status == _STATUS.get(fault.kind):
        return ""
    last = said.splitlines()[-1] if said else ""
    if fault.victim == "supervisor" and status == 1 and "supervisor was killed" in last:
        return ""
    return f"ended with status {status}: {last}"


def _config() -> str:
    lines = ["[supervision]"]
    lines += [f"{key} = {value}" for key, value in vars(SUPERVISION).items()]
    for service, settings in SERVICE_SETTINGS.items():
        lines += [f"[services.{service}]", *(f"{k} = {v}" for k, v in settings.items())]
    return "\n".join(lines) + "\n"

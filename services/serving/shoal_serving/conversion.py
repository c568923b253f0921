"""Conversion of trained models in a disposable child process with limits.

Parsing what a stranger's training run has left behind may take all memory, never end or crash
the interpreter; none of that may reach the registry's process. The child writes into a folder
that nobody sees, and answers on its standard output with a google.rpc.Status, as a peer would.
It dies with its parent: its standard input is the lifeline.
"""

import argparse
import asyncio
import logging
import math
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2

from shoal_common.interceptors import error_status
from shoal_common.status import from_status
from shoal_core.errors import Internal, ResourceExhausted, ShoalError

Importer = Callable[[Sequence[Path], Path], object]
"""Makes a folder (second argument) out of files and folders; raises ShoalError."""

Task = Literal["import", "tuning"]
"""What the child is at: word of the messages, and first word of the reasons."""


IMPORTER = (sys.executable, "-P", "-m", "shoal_serving.conversion")
QUANTIZATION = (sys.executable, "-P", "-m", "shoal_serving.quantization")
"""Programs that call `run_child`."""


@dataclass(frozen=True)
class ConversionLimits:
    """What one conversion may use."""

    seconds: float
    """Time on the clock."""
    memory_bytes: int
    """Address space."""


class Conversion:
    """Runs the importer in a child process."""

    def __init__(
        self,
        limits: ConversionLimits,
        command: Sequence[str] = IMPORTER,
        *,
        task: Task = "import",
    ) -> None:
        """Takes the limits, the program that calls `run_child`, and what it is at."""
        self._limits = limits
        self._command = tuple(command)
        self._task = task

    async def run(self, folders: Sequence[Path], destination: Path) -> None:
        """Makes `destination`, which holds what the engine serves; the child ends with the call.

        Raises:
            ShoalError: What the importer raised.
            ResourceExhausted: IMPORT_OUT_OF_MEMORY, IMPORT_TIMED_OUT, DISK_FULL.
            Internal: IMPORT_CRASHED. (TUNING_… of a tuning.)
        """
        child = await asyncio.create_subprocess_exec(
            *self._command,
            f"--seconds={self._limits.seconds}",
            f"--memory-bytes={self._limits.memory_bytes}",
            f"--task={self._task}",
            str(destination),
            *map(str, folders),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer = await _read_all(child)
                exit_status = await child.wait()
        except TimeoutError as error:
            raise _timed_out(self._limits, self._task) from error
        finally:
            await _end(child)
        failure = _failure(answer, exit_status, self._limits, self._task)
        if failure is not None:
            raise failure


async def _read_all(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None
    return await child.stdout.read()


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


def _failure(
    answer: bytes, exit_status: int, limits: ConversionLimits, task: Task
) -> ShoalError | None:
    """Returns what went wrong according to the child's answer or its end; None for success."""
    if exit_status == 0:
        try:
            status = status_pb2.Status.FromString(answer)
        except DecodeError:
            return _crashed("gave no answer that can be read", task)
        return None if status.code == code_pb2.OK else from_status(status)
    if exit_status == -signal.SIGXCPU:
        return _timed_out(limits, task)
    if exit_status in (-signal.SIGKILL, -signal.SIGABRT):
        return ResourceExhausted(
            f"{task.upper()}_OUT_OF_MEMORY",
            f"The {task} was ended by {signal.Signals(-exit_status).name}, most likely for want "
            "of memory; free memory or raise import_memory_limit_bytes, and try again.",
            exit_status=exit_status,
        )
    return _crashed(f"ended with status {exit_status}", task)


def _timed_out(limits: ConversionLimits, task: Task) -> ResourceExhausted:
    return ResourceExhausted(
        f"{task.upper()}_TIMED_OUT",
        f"The {task} took longer than {limits.seconds:g} s and was ended; raise "
        "import_timeout_seconds and try again.",
        limit_seconds=limits.seconds,
    )


def _crashed(how: str, task: Task) -> Internal:
    return Internal(
        f"{task.upper()}_CRASHED",
        f"The {task} {how}; the log of shoal-serving has the details.",
        how=how,
    )


def run_child(importer: Importer, argv: Sequence[str] | None = None) -> None:
    """Runs the importer under the limits of the command line and answers on standard output."""
    parser = argparse.ArgumentParser(prog="shoal-serving-conversion")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--task", choices=get_args(Task), required=True)
    parser.add_argument("destination", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args(argv)
    answer = _take_standard_output()
    _end_with_parent()
    _limit_resources(arguments.seconds, arguments.memory_bytes)
    logging.basicConfig(stream=sys.stderr)
    status = _import(importer, arguments)
    with open(answer, "wb") as stream:
        stream.write(status.SerializeToString())


def _import(importer: Importer, arguments: argparse.Namespace) -> status_pb2.Status:
    task: Task = arguments.task
    try:
        importer(arguments.folders, arguments.destination)
    except MemoryError:
        error = ResourceExhausted(
            f"{task.upper()}_OUT_OF_MEMORY",
            f"The {task} needs more than {arguments.memory_bytes / 2**20:,.0f} MiB of memory; "
            "raise import_memory_limit_bytes and try again.",
            memory_limit_bytes=arguments.memory_bytes,
        )
        return error_status(error, task)
    except Exception as error:  # noqa: BLE001 -- the last line of defence: becomes a status
        return error_status(error, task)
    return status_pb2.Status()


def _take_standard_output() -> int:
    """Returns a descriptor for the answer; what libraries print goes to standard error."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answer


def _end_with_parent() -> None:
    def wait_for_end() -> None:
        # Not sys.stdin: its lock, held by this thread, would abort the interpreter's shutdown.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait_for_end, name="lifeline", daemon=True).start()


def _limit_resources(seconds: float, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # The parent watches the clock; this ends a child that spins without letting its lifeline run.
    cpu_seconds = math.ceil(seconds) * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def _import_model(folders: Sequence[Path], destination: Path) -> object:
    from shoal_serving.importing import import_model

    return import_model(folders, destination)


if __name__ == "__main__":
    run_child(_import_model)

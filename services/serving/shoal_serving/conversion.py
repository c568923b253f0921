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

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2

from shoal_common.interceptors import error_status
from shoal_common.status import from_status
from shoal_core.errors import Internal, ResourceExhausted, ShoalError

Importer = Callable[[Sequence[Path], Path], object]
"""Makes a version folder (second argument) out of model folders; raises ShoalError."""

_OUT_OF_MEMORY = "IMPORT_OUT_OF_MEMORY"


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
        command: Sequence[str] = (sys.executable, "-P", "-m", "shoal_serving.conversion"),
    ) -> None:
        """Takes the limits and the program that calls `run_child`."""
        self._limits = limits
        self._command = tuple(command)

    async def run(self, folders: Sequence[Path], destination: Path) -> None:
        """Makes `destination`, which holds what the engine serves; the child ends with the call.

        Raises:
            ShoalError: What the importer raised.
            ResourceExhausted: IMPORT_OUT_OF_MEMORY, IMPORT_TIMED_OUT, DISK_FULL.
            Internal: IMPORT_CRASHED.
        """
        child = await asyncio.create_subprocess_exec(
            *self._command,
            f"--seconds={self._limits.seconds}",
            f"--memory-bytes={self._limits.memory_bytes}",
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
            raise _timed_out(self._limits) from error
        finally:
            await _end(child)
        failure = _failure(answer, exit_status, self._limits)
        if failure is not None:
            raise failure


async def _read_all(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None
    return await child.stdout.read()


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


def _failure(answer: bytes, exit_status: int, limits: ConversionLimits) -> ShoalError | None:
    """Returns what went wrong according to the child's answer or its end; None for success."""
    if exit_status == 0:
        try:
            status = status_pb2.Status.FromString(answer)
        except DecodeError:
            return _crashed("gave no answer that can be read")
        return None if status.code == code_pb2.OK else from_status(status)
    if exit_status == -signal.SIGXCPU:
        return _timed_out(limits)
    if exit_status in (-signal.SIGKILL, -signal.SIGABRT):
        return ResourceExhausted(
            _OUT_OF_MEMORY,
            f"The import was ended by {signal.Signals(-exit_status).name}, most likely for want "
            "of memory; free memory or raise import_memory_limit_bytes, and import again.",
            exit_status=exit_status,
        )
    return _crashed(f"ended with status {exit_status}")


def _timed_out(limits: ConversionLimits) -> ResourceExhausted:
    return ResourceExhausted(
        "IMPORT_TIMED_OUT",
        f"The import took longer than {limits.seconds:g} s and was ended; raise "
        "import_timeout_seconds and import again.",
        limit_seconds=limits.seconds,
    )


def _crashed(how: str) -> Internal:
    return Internal(
        "IMPORT_CRASHED", f"The import {how}; the log of shoal-serving has the details.", how=how
    )


def run_child(importer: Importer, argv: Sequence[str] | None = None) -> None:
    """Runs the importer under the limits of the command line and answers on standard output."""
    parser = argparse.ArgumentParser(prog="shoal-serving-conversion")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("destination", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args(argv)
    answer = _take_standard_output()
    _end_with_parent()
    _limit_resources(arguments.seconds, arguments.memory_bytes)
    logging.basicConfig(stream=sys.stderr)
    status = _import(importer, arguments.folders, arguments.destination, arguments.memory_bytes)
    with open(answer, "wb") as stream:
        stream.write(status.SerializeToString())


def _import(
    importer: Importer, folders: Sequence[Path], destination: Path, memory_bytes: int
) -> status_pb2.Status:
    try:
        importer(folders, destination)
    except MemoryError:
        error = ResourceExhausted(
            _OUT_OF_MEMORY,
            f"The import needs more than {memory_bytes / 2**20:,.0f} MiB of memory; raise "
            "import_memory_limit_bytes and import again.",
            memory_limit_bytes=memory_bytes,
        )
        return error_status(error, "import")
    except Exception as error:  # noqa: BLE001 -- the last line of defence: becomes a status
        return error_status(error, "import")
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

"""The training program as a child process that never outlives its worker."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from shoal_core.errors import FailedPrecondition

_LEASH = Path(__file__).with_name("leash.py")
_MODULE = "shoal_training"
_READ_BYTES = 1 << 16
_MAX_LINE = 1 << 16


def checked_command(command: Sequence[str]) -> list[str]:
    """Returns the command line that runs the training program; () means the one installed here.

    Raises:
        FailedPrecondition: TRAINER_MISSING.
    """
    if not command and find_spec(_MODULE) is not None:
        return [sys.executable, "-m", _MODULE]
    if command and shutil.which(command[0]) is not None:
        return list(command)
    what = f"The command {command[0]!r}" if command else f"The package {_MODULE}"
    raise FailedPrecondition(
        "TRAINER_MISSING",
        f"{what} is not where this worker runs; install shoal-training there, or set "
        "trainer_command to what runs it.",
        command=" ".join(command) or _MODULE,
    )


class Trainer:
    """One run of the training program, on a leash (`leash.py`)."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def start(cls, command: Sequence[str], folder: Path) -> AsyncIterator["Trainer"]:
        """Yields the running program; after the block nothing of it is left.

        Args:
            command: What to run.
            folder: Its working folder.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_LEASH),
            *command,
            cwd=folder,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        trainer = cls(process)
        try:
            yield trainer
        finally:
            trainer.kill()
            await process.wait()

    async def wait(self) -> int:
        """Returns the exit status: 128 and the signal for a program that was killed."""
        status = await self._process.wait()
        return status if status >= 0 else 128 - status

    def kill(self) -> None:
        """Lets go of the leash: ends the program and everything that it has started, at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def output(self) -> AsyncIterator[str]:
        """Yields the lines of the standard output."""
        assert self._process.stdout is not None
        return _lines(self._process.stdout)

    def errors(self) -> AsyncIterator[str]:
        """Yields the lines of the standard error."""
        assert self._process.stderr is not None
        return _lines(self._process.stderr)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yields lines without their ends; what progress bars overwrite is a line too."""
    rest = ""
    while chunk := await stream.read(_READ_BYTES):
        rest += chunk.decode(errors="replace").replace("\r", "\n")
        *lines, rest = rest.split("\n")
        if len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest], ""
        for line in filter(None, lines):
            yield line
    if rest:
        yield rest

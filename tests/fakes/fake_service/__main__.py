"""`python -m fake_service`: serves health checks and behaves as badly as it is told to."""

import asyncio
import mmap
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shoal_common.config import ServerConfig
from shoal_common.server import ServerBuilder, run_service
from shoal_core.errors import FailedPrecondition


@dataclass(frozen=True)
class FakeConfig(ServerConfig):
    """How to behave."""

    refuses: bool = False
    """Ends at the start with an error."""
    ignores_lifeline: bool = False
    """Has to be killed."""
    segment: str = ""
    """Shared-memory segment to make and to leave behind."""
    grandchild: str = ""
    """File for the process id of a child that does not end by itself."""


async def build(config: FakeConfig) -> ServerBuilder:
    if config.refuses:
        raise FailedPrecondition("REFUSED", "The fake does not want to.")
    if config.segment:
        _map_segment(Path("/dev/shm") / config.segment)
    if config.grandchild:
        _start_grandchild(Path(config.grandchild))
    builder = ServerBuilder(config)
    if config.ignores_lifeline:
        builder.on_stop(_never_return)
    return builder


async def _never_return() -> None:
    await asyncio.Event().wait()


def _map_segment(path: Path) -> None:
    with path.open("w+b") as file:
        file.truncate(4096)
        segments.append(mmap.mmap(file.fileno(), 4096))


def _start_grandchild(note: Path) -> None:
    child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    note.write_text(str(child.pid))


segments: list[mmap.mmap] = []

if __name__ == "__main__":
    run_service("fake-service", FakeConfig, build)
    sys.exit(0)

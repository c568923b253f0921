"""`python -m fake_service`: serves health checks and behaves as badly as it is told to."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shoal_common.config import ServerConfig
from shoal_common.server import ServerBuilder, run_service
from shoal_common.shm_files import create_region
from shoal_core.errors import FailedPrecondition


@dataclass(frozen=True)
class FakeConfig(ServerConfig):
    """How to behave."""

    refuses: bool = False
    """Ends at the start with an error."""
    ignores_lifeline: bool = False
    """Has to be killed."""
    leaves_region: bool = False
    """Makes a shared-memory region and never removes it."""
    stopping: str = ""
    """File that appears when it is told to stop."""
    grandchild: str = ""
    """File for the process id of a child that does not end by itself."""


async def build(config: FakeConfig) -> ServerBuilder:
    if config.refuses:
        raise FailedPrecondition("REFUSED", "The fake does not want to.")
    if config.leaves_region:
        create_region()
    if config.grandchild:
        _start_grandchild(Path(config.grandchild))
    builder = ServerBuilder(config)
    if config.ignores_lifeline:
        builder.on_stop(_never_return)
    if config.stopping:
        builder.on_stop(partial(_touch, Path(config.stopping)))
    return builder


async def _never_return() -> None:
    await asyncio.Event().wait()


async def _touch(path: Path) -> None:
    await asyncio.to_thread(path.touch)


def _start_grandchild(note: Path) -> None:
    child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    note.write_text(str(child.pid))


if __name__ == "__main__":
    run_service("fake-service", FakeConfig, build)
    sys.exit(0)

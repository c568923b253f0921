"""Shared memory whose owner is killed does not stay."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from shoal_common.shm import FrameRing
from shoal_common.shm_files import SHM_FOLDER
from shoal_core.errors import NotFound
from shoal_engine.regions import Regions

OWNER = (
    "import sys\n"
    "from shoal_common.shm import FrameRing\n"
    "print(FrameRing.create(2, 24).name, flush=True)\n"
    "sys.stdin.read()\n"
)


def test_rings_of_killed_owners_are_given_back_without_being_asked() -> None:
    regions, ring = Regions(), FrameRing.create(2, 24)
    regions.register("ours", ring.name, 0, 48)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        name = owner.stdout.readline().strip()
        regions.register("theirs", name, 0, 48)
        assert set(regions.status("")) == {"ours", "theirs"}
        owner.kill()
    looks = iter([True])

    async def sleep(seconds: float) -> None:
        if not next(looks, False):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(regions.forget_dead(sleep=sleep))
    assert set(regions.status("")) == {"ours"}
    assert not (SHM_FOLDER / name.lstrip("/")).exists()
    with pytest.raises(NotFound):
        regions.view("theirs", 0, np.dtype(np.uint8), (48,))
    ring.close()

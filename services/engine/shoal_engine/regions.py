"""Shared memory that clients have registered under a name of their choice."""

import asyncio
import mmap
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_common.shm_files import (
    is_own_name,
    open_region,
    owner_is_dead,
    sweep_dead_regions,
)
from shoal_core.errors import AlreadyExists, InvalidArgument, NotFound

_LOOK_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class Region:
    """A stretch of a shared memory object; mapped until the last array over it is gone."""

    key: str
    """Name as in shm_open(3)."""
    offset: int
    byte_size: int
    data: NDArray[np.uint8]
    descriptor: int
    """Kept to find out whether a ring's owner has died."""


class Regions:
    """The registered regions; used on the event loop only."""

    def __init__(self) -> None:
        self._regions: dict[str, Region] = {}

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Maps a region; those of rings whose owners have died are forgotten on the way.

        Raises:
            AlreadyExists: REGION_REGISTERED when the name is in use.
            NotFound: REGION_NOT_FOUND when there is no shared memory object of that key.
            PermissionDenied: REGION_FORBIDDEN when the engine's user may not open it.
            InvalidArgument: REGION_INVALID when the object is smaller than that.
        """
        self._forget_dead()
        if name in self._regions:
            raise AlreadyExists(
                "REGION_REGISTERED",
                f"Shared memory region {name!r} is registered already; unregister it first.",
                region=name,
            )
        descriptor = open_region(key, os.O_RDWR)
        try:
            data = _map(descriptor, name, offset, byte_size)
        except BaseException:
            os.close(descriptor)
            raise
        self._regions[name] = Region(key, offset, byte_size, data, descriptor)

    async def forget_dead(
        self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Gives back, every few seconds, the memory of rings whose owners have died.

        Never returns. A killed worker's frames would otherwise stay until the next ring comes.
        """
        while True:
            await sleep(_LOOK_SECONDS)
            self._forget_dead()
            sweep_dead_regions()

    def unregister(self, name: str) -> None:
        """Forgets a region, or all of them if the name is empty; an unknown one is no error."""
        for known in [name] if name else list(self._regions):
            region = self._regions.pop(known, None)
            if region is not None:
                os.close(region.descriptor)

    def status(self, name: str) -> dict[str, Region]:
        """Returns one region by its name, or all of them if the name is empty.

        Raises:
            NotFound: REGION_NOT_REGISTERED.
        """
        return {name: self._get(name)} if name else dict(self._regions)

    def view(
        self, name: str, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Returns an array over a region's memory, without copying.

        Raises:
            NotFound: REGION_NOT_REGISTERED.
            InvalidArgument: REGION_TOO_SMALL when the array would reach out of the region.
        """
        region = self._get(name)
        byte_size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not 0 <= offset <= region.byte_size - byte_size:
            raise InvalidArgument(
                "REGION_TOO_SMALL",
                f"{byte_size} bytes at offset {offset} reach out of shared memory region {name!r} "
                f"of {region.byte_size} bytes.",
                region=name,
            )
        return region.data[offset : offset + byte_size].view(dtype).reshape(shape)

    def _get(self, name: str) -> Region:
        if name not in self._regions:
            raise NotFound(
                "REGION_NOT_REGISTERED",
                f"Shared memory region {name!r} is not registered; register it first.",
                region=name,
            )
        return self._regions[name]

    def _forget_dead(self) -> None:
        for name, region in list(self._regions.items()):
            if is_own_name(region.key) and owner_is_dead(region.descriptor):
                self.unregister(name)


def _map(descriptor: int, name: str, offset: int, byte_size: int) -> NDArray[np.uint8]:
    size = os.fstat(descriptor).st_size
    if byte_size < 1 or offset + byte_size > size:
        raise InvalidArgument(
            "REGION_INVALID",
            f"Shared memory region {name!r} of {byte_size} bytes at offset {offset} does not lie "
            f"within its object of {size} bytes.",
            region=name,
        )
    memory = mmap.mmap(descriptor, offset + byte_size)
    return np.frombuffer(memory, np.uint8, byte_size, offset)

"""Where the images of samples are kept between epochs.

Axis legend: H W pixels, C channels.
"""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, assert_never

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import ResourceExhausted

Image = NDArray[np.uint8]
Cache = Literal["memory", "disk", "none"]

_LOG = logging.getLogger(__name__)
_MEMORY_SHARE = 0.5
"""Of the free memory, what samples may take: training needs some, and other programs do."""


@dataclass(frozen=True, kw_only=True)
class CacheRoom:
    """What there is to keep images in."""

    folder: Path
    """Of the file of a cache on disk; it is there."""
    memory_bytes: int | None = None
    """Free memory; None: enough."""


class SampleStore(Protocol):
    """Images by the number they were put at, from 0; read by several threads at once."""

    def put(self, image_HWC: Image) -> None:
        """Keeps the next image."""

    def get(self, index: int) -> Image:
        """Returns an image, which the caller does not change."""

    def close(self) -> None:
        """Frees what is kept."""


class MemoryStore:
    """Keeps images in memory."""

    def __init__(self) -> None:
        self._images: list[Image] = []

    def put(self, image_HWC: Image) -> None:
        """Keeps the next image."""
        self._images.append(image_HWC)

    def get(self, index: int) -> Image:
        """Returns an image."""
        return self._images[index]

    def close(self) -> None:
        """Forgets the images."""
        self._images = []


class DiskStore:
    """Keeps images one after another in a nameless file, of which the pages read are in memory.

    The file goes with the process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Unbuffered: what a full disk did not take must not be tried again when it is closed.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 -- see `close`
        self._places: list[tuple[int, tuple[int, ...]]] = []
        self._end = 0

    def put(self, image_HWC: Image) -> None:
        """Keeps the next image.

        Raises:
            ResourceExhausted: DISK_FULL.
        """
        rest = memoryview(image_HWC.tobytes())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise ResourceExhausted(
                "DISK_FULL",
                f"{self._folder} takes no more images ({error.strerror}); make room, or set "
                "data.cache to none.",
                folder=self._folder,
            ) from error
        self._places.append((self._end, image_HWC.shape))
        self._end += image_HWC.nbytes

    def get(self, index: int) -> Image:
        """Returns an image, mapped from the file."""
        offset, shape = self._places[index]
        return np.memmap(self._file, np.uint8, "r", offset, shape)

    def close(self) -> None:
        """Removes the file."""
        self._file.close()


class AgainStore:
    """Keeps nothing: an image is made again whenever it is asked for."""

    def __init__(self, make: Callable[[int], Image]) -> None:
        self._make = make

    def put(self, image_HWC: Image) -> None:
        """Forgets the image."""

    def get(self, index: int) -> Image:
        """Returns an image, decoded anew."""
        return self._make(index)

    def close(self) -> None:
        """Does nothing: nothing is kept."""


def open_store(
    cache: Cache, room: CacheRoom, expected_bytes: int, make: Callable[[int], Image]
) -> SampleStore:
    """Returns an empty store; one on disk instead of in memory, where they do not fit.

    Args:
        cache: As `DataConfig.cache`.
        room: What there is to keep them in.
        expected_bytes: About what all images take.
        make: Makes an image again, for `none`.
    """
    match _fitting(cache, expected_bytes, room.memory_bytes):
        case "memory":
            return MemoryStore()
        case "disk":
            return DiskStore(room.folder)
        case "none":
            return AgainStore(make)
        case _:
            assert_never(cache)


def _fitting(cache: Cache, expected_bytes: int, memory_bytes: int | None) -> Cache:
    """Returns where images are kept: on disk, after a warning, if memory does not hold them."""
    if cache != "memory" or memory_bytes is None or expected_bytes <= _MEMORY_SHARE * memory_bytes:
        return cache
    _LOG.warning(
        "The samples take %.1f GB, but %.1f GB of memory are free: they are kept on disk "
        "(data.cache=disk).",
        expected_bytes / 1e9,
        memory_bytes / 1e9,
    )
    return "disk"

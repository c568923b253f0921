"""Folders of runs on the worker's disk: only as long as their worker, its job keeps the files."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal_common.folder_lock import FolderLock
from shoal_core.errors import FailedPrecondition

_YOUNG_SECONDS = 60.0
"""A folder that was just made may not be locked yet."""


class RunFolders:
    """One worker's folders; those of workers that died are removed."""

    def __init__(self, folder: Path) -> None:
        """Takes a place in `folder`, which several workers may share.

        Raises:
            FailedPrecondition: FOLDER_FOREIGN when somebody else owns it.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise FailedPrecondition(
                "FOLDER_FOREIGN",
                f"{folder} belongs to another user; set runs_folder to one of your own.",
                folder=folder,
            )
        _sweep(folder)
        self._folder = folder / uuid.uuid4().hex[:8]
        self._lock = FolderLock(self._folder)
        self._count = 0

    @contextmanager
    def new(self) -> Iterator[Path]:
        """Yields an empty folder that is gone after the block."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def aclose(self) -> None:
        """Removes everything."""
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for other in folder.iterdir():
        if not other.is_dir() or time.time() - other.stat().st_mtime < _YOUNG_SECONDS:
            continue
        try:
            lock = FolderLock(other)
        except FailedPrecondition:
            continue  # its worker is at work
        shutil.rmtree(other, ignore_errors=True)
        lock.release()

"""One process per folder of durable state; the kernel ends the hold with the process."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal_core.errors import FailedPrecondition

LOCK_FILE = "lock"


class FolderLock:
    """Holds a folder until it is released or the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder, making it where it does not exist.

        Raises:
            FailedPrecondition: FOLDER_IN_USE when another process holds it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise FailedPrecondition(
                "FOLDER_IN_USE",
                f"Another process holds {folder}; use that one, end it, or set another `home`.",
                path=folder,
            ) from error

    def release(self) -> None:
        """Gives the folder back."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

"""One label store per folder: two would sweep away each other's files."""

import fcntl
import os
from pathlib import Path

from shoal_core.errors import FailedPrecondition


class HomeLock:
    """Holds a folder until it is released or the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder.

        Raises:
            FailedPrecondition: HOME_IN_USE when another process holds it.
        """
        path = folder / "lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise FailedPrecondition(
                "HOME_IN_USE",
                f"Another label store runs on {folder}; use that one, stop it or choose another "
                "home.",
                path=folder,
            ) from error

    def release(self) -> None:
        """Gives the folder back."""
        os.close(self._descriptor)

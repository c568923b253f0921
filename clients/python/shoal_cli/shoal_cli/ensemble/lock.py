"""One ensemble per home: an flock'ed file that says who holds it.

The lock belongs to the open file, and every process of the ensemble inherits that: it is
free when the last of them is gone, however it went.
"""

import dataclasses
import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shoal_cli.ensemble.specification import Mode
from shoal_core.errors import FailedPrecondition


@dataclass(frozen=True)
class Holder:
    """Who holds the lock of a home."""

    pid: int
    """The supervisor's."""
    mode: Mode
    command: str
    command_pid: int
    """The process of that command."""
    socket_folder: str | None
    stopping: bool = False
    """Whether it is on its way out, so that waiting helps."""

    @property
    def is_leaving(self) -> bool:
        """Whether the lock will be free within seconds."""
        orphaned = self.mode == "embedded" and not _is_alive(self.command_pid)
        return self.stopping or orphaned or not _is_alive(self.pid)


class HomeLock:
    """The lock of a home, held by this process and those that inherit its descriptor."""

    def __init__(self, descriptor: int, previous: Holder | None) -> None:
        self.descriptor = descriptor
        self.previous = previous
        """Who held it last; its supervisor cannot be alive."""

    @classmethod
    def acquire(cls, path: Path, holder: Holder, wait: Callable[[], bool]) -> Self:
        """Returns the lock.

        Args:
            path: The lock file.
            holder: What others shall read.
            wait: Called before each further attempt while the last holder is leaving; returns
                whether to go on.

        Raises:
            FailedPrecondition: HOME_LOCKED when somebody holds it and stays.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            other = _read(descriptor)
            if (other is not None and not other.is_leaving) or not wait():
                os.close(descriptor)
                raise locked_error(path, other)
        lock = cls(descriptor, _read(descriptor))
        lock.write(holder)
        return lock

    def write(self, holder: Holder) -> None:
        """Lets others know about the holder."""
        content = json.dumps(dataclasses.asdict(holder)).encode()
        os.pwrite(self.descriptor, content, 0)
        os.ftruncate(self.descriptor, len(content))

    def release(self) -> None:
        """Closes the descriptor; the lock is free when everybody who inherited it has gone."""
        os.close(self.descriptor)


def current_holder(path: Path) -> Holder | None:
    """Returns who holds the lock; None if it is free.

    Raises:
        FailedPrecondition: HOME_LOCKED when it is held, but by whom cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return None
        holder = _read(descriptor)
        if holder is None:
            raise locked_error(path, None)
        return holder
    finally:
        os.close(descriptor)


def locked_error(path: Path, holder: Holder | None) -> FailedPrecondition:
    """Returns the error of a home that is in use."""
    home = path.parent
    if holder is None:
        who, cure = "another process", "wait for it"
    elif holder.mode == "machine":
        who, cure = f"`{holder.command}` (process {holder.pid})", "end it with `shoal down`"
    else:
        who, cure = (
            f"`{holder.command}` (process {holder.pid})",
            "wait for it or press Ctrl-C there",
        )
    return FailedPrecondition(
        "HOME_LOCKED",
        f"{home} is in use by {who}; {cure}, or set SHOAL_HOME to another folder.",
        path=home,
    )


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Holder | None:
    try:
        fields: dict[str, Any] = json.loads(os.pread(descriptor, 65536, 0))
        return Holder(**fields)
    except (ValueError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Files of `/dev/shm`: made, opened, and removed when their owners have died.

Linux only: `/dev/shm` is mapped directly, because `multiprocessing.shared_memory` before Python
3.13 unlinks a segment when a process that merely attached to it ends.

An owner holds a lock on its file for as long as it lives, and the kernel drops it when the
process dies in whatever way. A file whose lock is free belongs to nobody. (A process id and its
start time would say the same only where all processes share one process namespace, which the
containers of a pod do not.)
"""

import errno
import fcntl
import os
import re
import secrets
from pathlib import Path

from shoal_core.errors import InvalidArgument, NotFound, PermissionDenied

SHM_FOLDER = Path("/dev/shm")
_PREFIX = "shoal-"
_OWN_NAME = re.compile(r"/shoal-[0-9]+-[0-9a-f]{16}")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.ELOOP)


def is_own_name(name: str) -> bool:
    """Whether `create_region` could have made the name."""
    return _OWN_NAME.fullmatch(name) is not None


def open_region(name: str, flags: int) -> int:
    """Returns a descriptor of a shared memory object by its shm_open(3) name.

    Raises:
        InvalidArgument: REGION_INVALID when the name leads out of the shared memory folder.
        NotFound: REGION_NOT_FOUND when there is none.
        PermissionDenied: REGION_FORBIDDEN when this user may not open it.
    """
    base = name.lstrip("/")
    if "/" in base or base in ("", ".", "..") or "\0" in base:
        raise InvalidArgument(
            "REGION_INVALID",
            f"{name!r} cannot name a shared memory region; give a name without slashes.",
            region=name,
        )
    try:
        return os.open(SHM_FOLDER / base, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(
            "REGION_NOT_FOUND", f"There is no shared memory region {name!r}.", region=name
        ) from error
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        raise PermissionDenied(
            "REGION_FORBIDDEN",
            f"Shared memory region {name!r} may not be opened by this user.",
            region=name,
        ) from error


def sweep_dead_regions() -> int:
    """Removes the regions whose owners have died without closing them; returns how many."""
    swept = 0
    for path in SHM_FOLDER.glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            continue  # somebody else swept it, or it is another user's
        try:
            if _lock(descriptor):
                path.unlink(missing_ok=True)
                swept += 1
        finally:
            os.close(descriptor)
    return swept


def create_region() -> tuple[str, int]:
    """Returns name and descriptor of a new, empty, locked file for this user only."""
    while True:
        name = f"/{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(_path(name), flags, 0o600)
        if _lock(descriptor) and os.fstat(descriptor).st_nlink > 0:
            return name, descriptor
        os.close(descriptor)  # a sweep took it between its creation and the lock


def owner_is_dead(descriptor: int) -> bool:
    """Whether nobody holds a region that `create_region` has made."""
    if not _lock(descriptor):
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_region(name: str) -> None:
    """Removes a region's name; who has mapped it keeps the memory."""
    _path(name).unlink(missing_ok=True)


def _path(name: str) -> Path:
    return SHM_FOLDER / name.lstrip("/")

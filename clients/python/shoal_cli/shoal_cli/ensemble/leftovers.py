"""What killed processes leave behind: folders of sockets and shared-memory segments."""

import os
import shutil
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
SEGMENT_PATTERN = "shoal-*"

_NEWEST_SECONDS = 1.0
"""A younger segment may belong to a process that has made it and not mapped it yet."""


def remove_socket_folder(folder: Path | None) -> None:
    """Removes a folder of sockets if it is there and ours."""
    if folder is None or not folder.name.startswith("shoal-") or folder.is_symlink():
        return
    if folder.is_dir() and folder.stat().st_uid == os.getuid():
        shutil.rmtree(folder, ignore_errors=True)


def stale_segments() -> list[Path]:
    """Returns this user's segments that no process maps; their owner was killed."""
    if not SHARED_MEMORY.is_dir():
        return []
    newest = time.time() - _NEWEST_SECONDS
    candidates = [path for path in SHARED_MEMORY.glob(SEGMENT_PATTERN) if _is_ours(path, newest)]
    if not candidates:
        return []
    mapped = _mapped_files()
    return [path for path in candidates if str(path) not in mapped]


def remove_stale_segments() -> None:
    """Removes this user's segments that no process maps."""
    for path in stale_segments():
        path.unlink(missing_ok=True)


def _is_ours(path: Path, newest: float) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.getuid() and status.st_mtime < newest


def _mapped_files() -> set[str]:
    """Returns the shared-memory files that this user's processes map."""
    mapped = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text().splitlines()
        except OSError:  # the process has just ended, or belongs to somebody else
            continue
        mapped |= {line[line.index("/") :] for line in lines if f" {SHARED_MEMORY}/" in line}
    return mapped

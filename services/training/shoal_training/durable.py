"""Files that are there whole or not at all, whenever the process or the machine stops."""

import errno
import os
import re
import shutil
from pathlib import Path

from shoal_core.errors import ResourceExhausted

_REMAINS = re.compile(r"\..+\.(\d+|[0-9a-f]{32}(\.old)?)")
"""Names under which files (of a process) and folders (of an export) are written."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_durably(path: Path, contents: bytes | memoryview) -> None:
    """Writes beside `path`, flushes to the disk, and puts the file in its place.

    Raises:
        ResourceExhausted: DISK_FULL when there is no room; what `path` held is still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise disk_error(error, path) from error
    flush_folder(path.parent)


def disk_error(error: OSError, path: Path) -> Exception:
    """Returns DISK_FULL where the error means that, else the error itself."""
    if error.errno not in NO_SPACE:
        return error
    return ResourceExhausted(
        "DISK_FULL",
        f"No room to write {path}; free some space and go on with --resume (the last checkpoint "
        "is whole).",
        path=path,
    )


def clear_remains(folder: Path) -> None:
    """Removes what a kill has left half-written in a folder and those in it.

    Only for a folder that no other process writes into.
    """
    for path in [path for path in folder.rglob(".*") if _REMAINS.fullmatch(path.name)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # gone already with a folder around it


def flush_folder(folder: Path) -> None:
    """Returns when the disk holds the names of what is in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that reach the disk whole or not at all, also when it is full."""

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class DiskFile(io.FileIO):
    """A file for h5py to write into that keeps the first failure to itself.

    HDF5 2.0 crashes the process when a file is released after a failed write, so it must not
    see the failure. Whoever writes calls `check` after each step and throws the file away when
    that raises.
    """

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        """Writes all of `data`, or remembers why that failed."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and self.failure is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.failure = OSError(error.errno, os.strerror(error.errno or 0), str(self.name))
        return size

    def check(self) -> None:
        """Raises the first failure.

        Raises:
            OSError: With the number and the file's name, for example of a full disk.
        """
        if self.failure is not None:
            raise self.failure


def partial_path(path: Path, tag: str) -> Path:
    """Returns the hidden path beside `path` at which it is written first."""
    return path.with_name(f".{path.name}.{tag}.partial")


def publish(partial: Path, path: Path) -> None:
    """Makes `partial`, a closed file, durable and renames it to `path`.

    Raises:
        OSError: When the disk fails; the old file at `path` is then still there.
    """
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Creates a folder and those above it, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes in hexadecimal.

    Raises:
        OSError: When it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

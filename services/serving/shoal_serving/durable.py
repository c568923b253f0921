"""Files that are either there whole or not there at all, also after a power cut.

What is written first lies in a scratch folder of the same file system, is flushed to the disk
and then renamed into place; the folder that names it is flushed last.
"""

import os
import shutil
import uuid
from pathlib import Path


class DurableFiles:
    """Writes, publishes and removes by rename.

    What a crash leaves behind lies in the scratch folder only.
    """

    def __init__(self, scratch: Path) -> None:
        """Takes a scratch folder on the file system that everything is published to."""
        self._scratch = scratch

    def sweep(self) -> None:
        """Empties the scratch folder; nothing in it was ever visible."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True, exist_ok=True)

    def new_path(self) -> Path:
        """Returns a path in the scratch folder that nobody else has."""
        return self._scratch / uuid.uuid4().hex

    def write(self, target: Path, content: bytes) -> None:
        """Replaces the file `target`, or makes it.

        Raises:
            OSError: When the disk is full; `target` is as it was.
        """
        beside = self.new_path()
        try:
            self.write_beside(beside, content)
            self.rename(beside, target)
        finally:
            beside.unlink(missing_ok=True)

    def write_beside(self, path: Path, content: bytes) -> None:
        """Writes a file that nobody reads yet and flushes it."""
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def make_folder(self, folder: Path) -> None:
        """Makes a folder unless it is there."""
        folder.mkdir(exist_ok=True)
        self.flush(folder.parent)

    def publish_folder(self, staged: Path, target: Path) -> None:
        """Flushes a folder with everything in it, then renames it to `target`."""
        for folder, _, names in os.walk(staged, topdown=False):
            for name in names:
                self.flush(Path(folder, name))
            self.flush(Path(folder))
        self.rename(staged, target)

    def rename(self, source: Path, target: Path) -> None:
        """Renames and flushes the folder that holds the name."""
        source.rename(target)
        self.flush(target.parent)

    def remove_folder(self, folder: Path) -> None:
        """Makes a folder disappear at once, then frees its space."""
        gone = self.new_path()
        self.rename(folder, gone)
        self.flush(folder.parent)
        shutil.rmtree(gone)

    def flush(self, path: Path) -> None:
        """Returns when the disk holds the file or folder."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

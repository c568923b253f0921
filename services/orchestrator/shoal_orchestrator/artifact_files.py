"""Bytes of the files that jobs keep, one file for each content: whole or not there."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from shoal_core.errors import Aborted, DataLoss, InvalidArgument

CHUNK_BYTES = 1 << 20
_PARTIAL = ".partial"


class IncomingFile:
    """Bytes on their way to the disk, under a name that nobody reads."""

    def __init__(self, path: Path, *, byte_count: int, sha256: str) -> None:
        self.path = path
        self._byte_count = byte_count
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        self._written = 0
        # Unbuffered: what a full disk did not take must not be tried again when it is closed.
        self._file = path.open("xb", buffering=0)

    async def write(self, chunk: bytes) -> None:
        """Appends bytes.

        Raises:
            InvalidArgument: ARTIFACT_DIFFERS when there are more than was said.
            OSError: When the disk fails.
        """
        self._written += len(chunk)
        if self._written > self._byte_count:
            raise self._differs()
        await asyncio.to_thread(self._append, chunk)

    async def finish(self) -> None:
        """Makes the bytes durable.

        Raises:
            InvalidArgument: ARTIFACT_DIFFERS when they are not what was said.
            OSError: When the disk fails.
        """
        if self._written != self._byte_count or self._digest.hexdigest() != self._sha256:
            raise self._differs()
        await asyncio.to_thread(self._sync)

    def close(self) -> None:
        """Ends the writing."""
        self._file.close()

    def _append(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:  # which does not know of what file
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _sync(self) -> None:
        os.fsync(self._file.fileno())

    def _differs(self) -> InvalidArgument:
        return InvalidArgument(
            "ARTIFACT_DIFFERS",
            f"{self._written} bytes came that are not the {self._byte_count} announced; "
            "upload the file again.",
            byte_count=self._byte_count,
            written_byte_count=self._written,
        )


class ArtifactFiles:
    """The folder of these files: `{project}/{job}/{SHA-256}`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sweep(self, used: set[tuple[str, str]]) -> None:
        """Removes what no row names, left by a process that died; call it once, first.

        Args:
            used: (name of the job, SHA-256) of the files to keep.
        """
        keep = {self._path(job, sha256) for job, sha256 in used}
        for path in self._folder.glob("*/*/*"):
            if path not in keep:
                path.unlink()

    @asynccontextmanager
    async def receive(
        self, job: str, *, byte_count: int, sha256: str
    ) -> AsyncIterator[IncomingFile]:
        """Yields a file to write into, gone after the block unless it was published."""
        folder = self._path(job, sha256).parent
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        path = folder / f"{uuid.uuid4().hex}{_PARTIAL}"
        incoming = IncomingFile(path, byte_count=byte_count, sha256=sha256)
        try:
            yield incoming
        finally:
            incoming.close()
            path.unlink(missing_ok=True)

    def publish(self, job: str, incoming: IncomingFile, sha256: str) -> None:
        """Gives a finished file its name.

        Raises:
            Aborted: UPLOAD_ABANDONED when its sender has gone, and the file with it.
        """
        path = self._path(job, sha256)
        try:
            incoming.path.replace(path)
        except FileNotFoundError as error:
            raise Aborted(
                "UPLOAD_ABANDONED",
                f"A file of {job} was given up before it was kept; upload it again.",
                job=job,
            ) from error
        for folder in (path.parent, path.parent.parent, self._folder):
            _fsync_folder(folder)

    def remove(self, job: str, sha256: str) -> None:
        """Forgets bytes; whoever reads them reads on."""
        self._path(job, sha256).unlink(missing_ok=True)

    def open(self, job: str, sha256: str) -> BinaryIO:
        """Returns the bytes.

        Raises:
            FileNotFoundError: They are not there (any more).
        """
        return self._path(job, sha256).open("rb")

    def _path(self, job: str, sha256: str) -> Path:
        _, project, _, job_id = job.split("/")
        return self._folder / project / job_id / sha256


async def chunks(file: BinaryIO, *, byte_count: int, path: str) -> AsyncIterator[bytes]:
    """Yields a file's bytes.

    Raises:
        DataLoss: ARTIFACT_DAMAGED when there are fewer than were written.
    """
    left = byte_count
    while left > 0:
        chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))
        if not chunk:
            raise DataLoss(
                "ARTIFACT_DAMAGED",
                f"{path} has lost its end on the orchestrator's disk; train again.",
                path=path,
            )
        left -= len(chunk)
        yield chunk


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

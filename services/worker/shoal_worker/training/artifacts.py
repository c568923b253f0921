"""The files of a run: kept by the job, brought to whoever goes on with it."""

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common.status import typed_errors
from shoal_core.errors import DataLoss, InvalidArgument
from shoal_worker.patience import patiently

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_CALL_SECONDS = 30.0
_TRANSFER_SECONDS = 600.0
_PAGE_SIZE = 1000
_NAME = re.compile(r"[A-Za-z0-9_ -][A-Za-z0-9_ .-]*")
"""Names that are uploaded; a dot in front marks what is still being written."""
_LAST = "model"
"""Folder whose files are uploaded after all others: the model is there when it is whole."""

_Seen = tuple[int, int] | None
"""Length in bytes and time of the last change in nanoseconds; None of what is not there."""


class RunArtifacts:
    """The files of one stage: `folder` here, `{stage}/` among the job's artifacts."""

    def __init__(
        self,
        task: jobs_pb2.Task,
        folder: Path,
        *,
        jobs: "jobs_pb2_grpc.JobsServiceAsyncStub",
        queue: "jobs_pb2_grpc.WorkQueueServiceAsyncStub",
    ) -> None:
        self._task = task
        self._job = task.name.rpartition("/tasks/")[0]
        self._prefix = f"{task.train.spec.stages[0].id}/"
        self._folder = folder
        self._jobs = jobs
        self._queue = queue
        self._seen: dict[Path, _Seen] = {}

    async def fetch(self) -> bool:
        """Brings what earlier attempts have left; returns whether a checkpoint is among it.

        Raises:
            DataLoss: ARTIFACT_DAMAGED.
        """
        paths = await self._list()
        for path in paths:
            await self._fetch(path)
        return any(path.startswith("checkpoints/") for path in paths)

    async def push(self) -> None:
        """Uploads what has changed since it was uploaded or fetched, whole models last.

        A file that changes while it is being read is left for the next time.

        Raises:
            ShoalError: Those of `shoal.jobs.v1.UploadArtifact`.
        """
        for path in await asyncio.to_thread(self._changed):
            try:
                with path.open("rb") as file:  # the same one, whatever takes its place
                    seen, header = await asyncio.to_thread(self._header, path, file)
                    with typed_errors("orchestrator"):
                        await self._queue.UploadArtifact(
                            _messages(header, file), timeout=_TRANSFER_SECONDS
                        )
            except FileNotFoundError:
                continue  # removed meanwhile
            except InvalidArgument as error:
                if error.reason != "ARTIFACT_DIFFERS":
                    raise
                continue
            self._seen[path] = seen

    async def push_all(self) -> None:
        """Uploads everything, waiting for an orchestrator that restarts or whose disk is full.

        Raises:
            ShoalError: Those of `push` that waiting does not cure.
        """
        while await asyncio.to_thread(self._changed):
            await patiently("orchestrator", self.push)

    def _changed(self) -> list[Path]:
        walk = os.walk(self._folder)  # which does not mind folders that go meanwhile
        files = [Path(folder, name) for folder, _, names in walk for name in names]
        kept = [path for path in files if self._is_kept(path)]
        changed = [path for path in kept if self._seen.get(path) != _seen(path)]
        return sorted(changed, key=lambda path: (self._name(path).startswith(f"{_LAST}/"), path))

    def _is_kept(self, path: Path) -> bool:
        parts = path.relative_to(self._folder).parts
        return path.is_file() and not path.is_symlink() and all(map(_NAME.fullmatch, parts))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    async def _list(self) -> list[str]:
        paths: list[str] = []
        token = ""
        while True:
            request = jobs_pb2.ListArtifactsRequest(
                parent=self._job, prefix=self._prefix, page_size=_PAGE_SIZE, page_token=token
            )
            with typed_errors("orchestrator"):
                response = await self._jobs.ListArtifacts(request, timeout=_CALL_SECONDS)
            paths += [artifact.path.removeprefix(self._prefix) for artifact in response.artifacts]
            token = response.next_page_token
            if not token:
                return paths

    async def _fetch(self, name: str) -> None:
        request = jobs_pb2.DownloadArtifactRequest(job=self._job, path=self._prefix + name)
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, expected = hashlib.sha256(), ""
        with typed_errors("orchestrator"), path.open("wb") as file:
            async for response in self._jobs.DownloadArtifact(request, timeout=_TRANSFER_SECONDS):
                expected = response.artifact.sha256 or expected
                digest.update(response.chunk)
                file.write(response.chunk)
        if digest.hexdigest() != expected:
            raise DataLoss(
                "ARTIFACT_DAMAGED", f"{name} of {self._job} came damaged; try again.", path=name
            )
        self._seen[path] = _seen(path)

    def _header(self, path: Path, file: BinaryIO) -> tuple[_Seen, jobs_pb2.ArtifactHeader]:
        """Returns what a file looks like, and what it is as far as it was read."""
        stat = os.fstat(file.fileno())
        digest, left = hashlib.sha256(), stat.st_size
        while left > 0 and (chunk := file.read(min(_CHUNK_BYTES, left))):
            digest.update(chunk)
            left -= len(chunk)
        header = jobs_pb2.ArtifactHeader(
            task=self._task.name,
            fencing_token=self._task.fencing_token,
            path=self._name(path),
            byte_count=stat.st_size - left,
            sha256=digest.hexdigest(),
        )
        return _look(stat), header


async def _messages(
    header: jobs_pb2.ArtifactHeader, file: BinaryIO
) -> AsyncIterator[jobs_pb2.UploadArtifactRequest]:
    yield jobs_pb2.UploadArtifactRequest(header=header)
    left = header.byte_count
    file.seek(0)
    while left > 0 and (chunk := await asyncio.to_thread(file.read, min(_CHUNK_BYTES, left))):
        left -= len(chunk)
        yield jobs_pb2.UploadArtifactRequest(chunk=chunk)


def _seen(path: Path) -> _Seen:
    try:
        return _look(os.stat(path))
    except FileNotFoundError:
        return None


def _look(stat: os.stat_result) -> _Seen:
    return stat.st_size, stat.st_mtime_ns

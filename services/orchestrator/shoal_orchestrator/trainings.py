"""Training jobs: what their trainers tell, what people want of them, the files they keep."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import BinaryIO

from shoal_core.errors import DataLoss
from shoal_orchestrator.artifact_files import ArtifactFiles, IncomingFile
from shoal_orchestrator.clock import Clock
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.records import Job, TaskKey
from shoal_orchestrator.training_ledger import TrainingLedger
from shoal_orchestrator.training_records import Artifact, Control, Event, NewEvent


class Trainings:
    """What is particular about training jobs; their tasks are the dispatcher's as all others."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        ledger: TrainingLedger,
        files: ArtifactFiles,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._files = files
        self._clock = clock

    async def restore(self) -> None:
        """Removes files that were half uploaded; call it once, first."""
        used = await self._ledger.used_artifacts()
        await asyncio.to_thread(self._files.sweep, used)

    async def report(
        self, key: TaskKey, token: int, last: bytes | None, events: Sequence[NewEvent]
    ) -> None:
        """Keeps events, and what was measured last for as long as the lease runs.

        Raises:
            Aborted: LEASE_LOST.
        """
        if events:
            await self._dispatcher.change(lambda: self._ledger.report(key, token, events))
        lease = await self._dispatcher.held_lease(key, token)
        lease.measurement = last or lease.measurement
        lease.heard_time_us = self._clock.utc_us()
        self._dispatcher.announce(key.job)

    async def control(self, key: TaskKey, token: int) -> Control:
        """Returns what the trainer of a leased task is to be told; see `TrainingLedger`."""
        return await self._dispatcher.change(lambda: self._ledger.control(key, token))

    async def stop(self, name: str, stage: str) -> Job:
        """Lets stages finish; see `TrainingLedger.stop`."""
        return await self._wish(name, lambda: self._ledger.stop(name, stage))

    async def set_learning_rate(self, name: str, stage: str, learning_rate: float) -> Job:
        """Changes a rate; see `TrainingLedger.set_learning_rate`."""
        return await self._wish(
            name, lambda: self._ledger.set_learning_rate(name, stage, learning_rate)
        )

    async def events(self, name: str, *, since: int, limit: int) -> list[Event]:
        """Returns a job's events after number `since`, in their order."""
        return await self._dispatcher.change(
            lambda: self._ledger.events(name, since=since, limit=limit)
        )

    async def check_held(self, key: TaskKey, token: int) -> str:
        """Returns the stage of a leased task; see `TrainingLedger.check_held`."""
        return await self._dispatcher.change(lambda: self._ledger.check_held(key, token))

    def receive(
        self, job: str, *, byte_count: int, sha256: str
    ) -> AbstractAsyncContextManager[IncomingFile]:
        """Yields a file to upload into; see `ArtifactFiles.receive`."""
        return self._files.receive(job, byte_count=byte_count, sha256=sha256)

    async def publish(
        self,
        key: TaskKey,
        token: int,
        incoming: IncomingFile,
        artifact: Artifact,
        event: Callable[[Artifact], bytes],
    ) -> Artifact:
        """Makes a finished file visible under the lease; returns it with its time.

        Raises:
            Aborted: LEASE_LOST; then nothing has changed.
        """
        dated = dataclasses.replace(artifact, update_time_us=self._clock.utc_us())

        async def change() -> Artifact:
            await self._ledger.check_held(key, token)
            await asyncio.to_thread(self._files.publish, key.job, incoming, artifact.sha256)
            unused = await self._ledger.put_artifact(key, token, dated, event(dated))
            if unused is not None:
                await asyncio.to_thread(self._files.remove, key.job, unused)
            return dated

        published = await self._dispatcher.change(change)
        self._dispatcher.announce(key.job)
        return published

    async def artifacts(self, name: str, *, prefix: str, after: str, limit: int) -> list[Artifact]:
        """Returns files of a job by path, ascending, those behind `after`."""
        return await self._dispatcher.change(
            lambda: self._ledger.artifacts(name, prefix=prefix, after=after, limit=limit)
        )

    @asynccontextmanager
    async def open(self, name: str, path: str) -> AsyncIterator[tuple[Artifact, BinaryIO]]:
        """Yields a file of a job and its bytes, which stay when it is replaced meanwhile.

        Raises:
            NotFound: JOB_NOT_FOUND or ARTIFACT_NOT_FOUND.
            DataLoss: ARTIFACT_DAMAGED.
        """

        async def look() -> tuple[Artifact, BinaryIO]:
            artifact = await self._ledger.artifact(name, path)
            try:
                return artifact, self._files.open(name, artifact.sha256)
            except FileNotFoundError as error:
                raise DataLoss(
                    "ARTIFACT_DAMAGED",
                    f"{path} of {name} is not on the orchestrator's disk any more; train again.",
                    job=name,
                    path=path,
                ) from error

        artifact, file = await self._dispatcher.change(look)
        with file:
            yield artifact, file

    async def _wish(self, name: str, write: Callable[[], Awaitable[Job]]) -> Job:
        await self._dispatcher.change(write)
        self._dispatcher.announce(name)
        return await self._dispatcher.job(name)

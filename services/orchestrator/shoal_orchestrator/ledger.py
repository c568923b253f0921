"""The durable ledger of jobs and tasks: each method is one transaction, done or not done."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shoal_core.errors import Aborted, FailedPrecondition, ShoalError
from shoal_orchestrator import job_rows, task_rows, training_rows
from shoal_orchestrator.clock import Clock
from shoal_orchestrator.records import (
    TRACKING_TASKS,
    Count,
    Job,
    LeasedTask,
    NewJob,
    TaskKey,
    TaskKind,
)
from shoal_orchestrator.schema import WRITES, disk_full, open_engine, prepare
from shoal_orchestrator.states import JobState, TaskState, is_permanent
from shoal_orchestrator.task_rows import TaskRow


class Ledger:
    """Jobs and tasks in a database. A fencing token, once returned, is on the disk.

    A worker *holds* a task from its lease on until another leases it, it ends or its job does;
    also when its lease has expired but nobody else has taken the task yet.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock, max_attempts: int) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{WRITES: True})
        self._clock = clock
        self._max_attempts = max_attempts

    @classmethod
    async def open(cls, url: URL, *, clock: Clock, max_attempts: int) -> Self:
        """Returns the ledger of a database, made where there is none.

        Raises:
            FailedPrecondition: LEDGER_VERSION_UNKNOWN.
            DataLoss: LEDGER_DAMAGED.
            ResourceExhausted: DISK_FULL.
        """
        engine = open_engine(url)
        try:
            await prepare(engine)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, clock=clock, max_attempts=max_attempts)

    async def close(self) -> None:
        """Closes the connections; call it last."""
        await self._engine.dispose()

    async def job(self, name: str) -> Job:
        """Returns a job, with the progress of its complete tasks.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        async with self.read() as connection:
            return await job_rows.get(connection, name)

    async def jobs(self, project: str, *, before: int | None, limit: int) -> list[Job]:
        """Returns a project's jobs, the newest first, from those older than `before` on."""
        async with self.read() as connection:
            return await job_rows.page(connection, project, before=before, limit=limit)

    async def submit(self, new: NewJob) -> Job:
        """Adds a job, or queues the one of that name again if it has failed or was cancelled.

        A job that was there keeps its tasks. Unless it has succeeded, it takes the new
        specification, which says the same about the video but maybe another place of it.
        """
        async with self.write() as connection:
            job = await job_rows.find(connection, new.name)
            if job is None:
                now_us = self._clock.utc_us()
                sequence = await job_rows.insert(connection, new, now_us=now_us)
                await task_rows.insert(connection, sequence, new.tasks)
            elif job.state is not JobState.SUCCEEDED:
                await job_rows.change(connection, job.sequence, spec=new.spec)
                if job.state.ended:
                    await _queue_again(connection, job)
            return await job_rows.get(connection, new.name)

    async def cancel(self, name: str) -> Job:
        """Stops a job and takes its tasks from their workers; an ended one stays as it is.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        async with self.write() as connection:
            job = await job_rows.get(connection, name)
            if not job.state.ended:
                await self._end(connection, job, JobState.CANCELLED)
            return await job_rows.get(connection, name)

    async def retry(self, name: str) -> Job:
        """Queues a job again that has failed or was cancelled; one that goes on stays as it is.

        Raises:
            NotFound: JOB_NOT_FOUND.
            FailedPrecondition: JOB_SUCCEEDED.
        """
        async with self.write() as connection:
            job = await job_rows.get(connection, name)
            if job.state is JobState.SUCCEEDED:
                raise FailedPrecondition(
                    "JOB_SUCCEEDED", f"{name} has succeeded; nothing is left to do.", job=name
                )
            if job.state.ended:
                await _queue_again(connection, job)
            return await job_rows.get(connection, name)

    async def lease(
        self, worker_id: str, kinds: Collection[TaskKind] = TRACKING_TASKS
    ) -> LeasedTask | None:
        """Gives the next task of some kinds to a worker, under a new token, if there is one."""
        async with self.write() as connection:
            row = await task_rows.next_pending(connection, kinds)
            if row is None:
                return None
            await task_rows.move(
                connection,
                row,
                TaskState.LEASED,
                fencing_token=row.task.fencing_token + 1,
                attempt_count=row.task.attempt_count + 1,
                worker_id=worker_id,
            )
            if row.job_state is JobState.PENDING:
                job = await job_rows.get(connection, row.task.key.job)
                await job_rows.move(connection, job, JobState.RUNNING)
            return (await _existing(connection, row.task.key)).task

    async def leased(self) -> list[LeasedTask]:
        """Returns every task that is in a worker's hands."""
        async with self.read() as connection:
            return await task_rows.leased(connection)

    async def task_count(self, state: TaskState) -> int:
        """Returns how many tasks of jobs that go on are in a state."""
        async with self.read() as connection:
            return await task_rows.count(connection, state)

    async def reclaim(self, key: TaskKey, token: int) -> LeasedTask:
        """Gives a task back to the worker that still holds it, under the same token.

        Raises:
            Aborted: LEASE_LOST.
        """
        async with self.write() as connection:
            return (await _lease_again(connection, await held(connection, key, token))).task

    async def note_first_frame(self, job_name: str) -> None:
        """Writes down that a job's first frame has been inferred, if it is the first time."""
        async with self.write() as connection:
            await self._note_first_frame(connection, await job_rows.get(connection, job_name))

    async def complete(self, key: TaskKey, token: int, count: Count) -> None:
        """Ends a task whose results are durable, and with the last one its job.

        Doing it twice is the same as once: the first answer may have been lost.

        Raises:
            Aborted: LEASE_LOST.
        """
        async with self.write() as connection:
            row = await task_rows.find(connection, key)
            if row and row.state is TaskState.COMPLETE and row.task.fencing_token == token:
                return
            row = await _lease_again(connection, await held(connection, key, token))
            await task_rows.move(
                connection,
                row,
                TaskState.COMPLETE,
                done_frame_count=count.frames,
                instance_count=count.instances,
                overflow_frame_count=count.overflow_frames,
            )
            job = await job_rows.get(connection, key.job)
            if count.frames > 0:
                await self._note_first_frame(connection, job)
            if await task_rows.is_finished(connection, row.job_sequence):
                now_us = self._clock.utc_us()
                await job_rows.move(connection, job, JobState.SUCCEEDED, now_us=now_us)

    async def fail(self, key: TaskKey, token: int, error: ShoalError) -> None:
        """Gives a task back, or fails its job: at once if trying again cannot help.

        Raises:
            Aborted: LEASE_LOST.
        """
        async with self.write() as connection:
            row = await _lease_again(connection, await held(connection, key, token))
            if is_permanent(error) or row.task.attempt_count >= self._max_attempts:
                await self._fail_job(connection, row, error)
            else:
                await task_rows.move(connection, row, TaskState.PENDING, worker_id=None)

    async def expire(
        self, key: TaskKey, token: int, *, counts: bool, exhausted: ShoalError
    ) -> None:
        """Puts a task back whose worker was not heard of; does nothing if it has ended.

        Args:
            key: The task.
            token: Token of the lease that has expired.
            counts: Whether the lease was one of the task's attempts.
            exhausted: Error of the job if that was the last attempt.
        """
        async with self.write() as connection:
            row = await task_rows.find(connection, key)
            if row is None or row.state is not TaskState.LEASED or row.task.fencing_token != token:
                return
            if counts and row.task.attempt_count >= self._max_attempts:
                await self._fail_job(connection, row, exhausted)
                return
            # Progress may have set it to 0 meanwhile, see `TrainingLedger.report`.
            attempts = max(0, row.task.attempt_count - (not counts))
            await task_rows.move(connection, row, TaskState.PENDING, attempt_count=attempts)

    async def _note_first_frame(self, connection: AsyncConnection, job: Job) -> None:
        if job.progress.first_frame_time_us is None:
            now_us = self._clock.utc_us()
            await job_rows.change(connection, job.sequence, first_frame_time_us=now_us)

    async def _fail_job(self, connection: AsyncConnection, row: TaskRow, error: ShoalError) -> None:
        await task_rows.move(connection, row, TaskState.FAILED)
        job = await job_rows.get(connection, row.task.key.job)
        await self._end(connection, job, JobState.FAILED, error)

    async def _end(
        self,
        connection: AsyncConnection,
        job: Job,
        state: JobState,
        error: ShoalError | None = None,
    ) -> None:
        now_us = self._clock.utc_us()
        await job_rows.move(connection, job, state, now_us=now_us, error=error)
        await task_rows.revoke(connection, job.sequence)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Yields a transaction that looks only."""
        async with self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Yields a transaction that is done as a whole or not at all.

        Raises:
            ResourceExhausted: DISK_FULL.
        """
        try:
            async with self._writing.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise disk_full(error) or error from error


async def _existing(connection: AsyncConnection, key: TaskKey) -> TaskRow:
    row = await task_rows.find(connection, key)
    if row is None:
        raise LookupError(f"{key} was in this transaction and is not any more")
    return row


async def _queue_again(connection: AsyncConnection, job: Job) -> None:
    await job_rows.move(connection, job, JobState.PENDING)
    await task_rows.retry(connection, job.sequence)
    await training_rows.forget_stops(connection, job.sequence)


async def held(connection: AsyncConnection, key: TaskKey, token: int) -> TaskRow:
    """Returns the task that a worker holds under a token.

    Raises:
        Aborted: LEASE_LOST.
    """
    row = await task_rows.find(connection, key)
    if row is None or row.task.fencing_token != token or row.worker_id is None:
        raise lease_lost(key, token)
    if row.state not in (TaskState.LEASED, TaskState.PENDING):
        raise lease_lost(key, token)
    return row


async def _lease_again(connection: AsyncConnection, row: TaskRow) -> TaskRow:
    if row.state is TaskState.LEASED:
        return row
    await task_rows.move(connection, row, TaskState.LEASED)
    return await _existing(connection, row.task.key)


def lease_lost(key: TaskKey, token: int) -> Aborted:
    """Returns the error for a worker whose task has ended or is in other hands."""
    return Aborted(
        "LEASE_LOST",
        f"Task {key.index} of {key.job} is not leased under token {token} any more; drop it and "
        "lease another.",
        job=key.job,
        task_index=key.index,
        fencing_token=token,
    )

"""Jobs and their tasks: the ledger, the leases in memory and those who wait, kept together."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from shoal_common.tracing import trace_id_of
from shoal_core.errors import ResourceExhausted, ShoalError, Unavailable
from shoal_orchestrator.changes import Changes
from shoal_orchestrator.clock import Clock
from shoal_orchestrator.leases import Lease, Leases
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import (
    TRACKING_TASKS,
    Count,
    Job,
    LeasedTask,
    NewJob,
    TaskKey,
    TaskKind,
)
from shoal_orchestrator.states import TaskState
from shoal_orchestrator.training_records import Training

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_TASKS = "tasks"


class Dispatcher:
    """Gives tasks to workers and tells how jobs are doing.

    Changes happen one after another, each to its end even if its caller goes away, so that
    ledger and leases never disagree.
    """

    def __init__(self, *, ledger: Ledger, leases: Leases, clock: Clock) -> None:
        self._ledger = ledger
        self._leases = leases
        self._clock = clock
        self._changes = Changes()
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def restore(self) -> None:
        """Lets the leases that the ledger knows begin anew; call it once, first."""
        for task in await self._ledger.leased():
            self._leases.add(task, now_seconds=self._clock.monotonic_seconds(), heard_of=False)

    async def task_count(self, state: TaskState) -> int:
        """Returns how many tasks of jobs that go on are in a state."""
        async with self._one_at_a_time:
            return await self._ledger.task_count(state)

    async def submit(self, new: NewJob) -> Job:
        """Queues a job; see `Ledger.submit`."""
        job = await self.change(lambda: self._ledger.submit(new))
        logger.info("%s: its tasks go under trace_id=%s", job.name, trace_id_of(job.name))
        self._changes.announce(_TASKS)
        self._changes.announce(job.name)
        return self._with_leases(job)

    async def job(self, name: str) -> Job:
        """Returns a job as it is now.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        async with self._one_at_a_time:
            return self._with_leases(await self._ledger.job(name))

    async def jobs(self, project: str, *, before: int | None, limit: int) -> list[Job]:
        """Returns a project's jobs, the newest first, from those older than `before` on."""
        async with self._one_at_a_time:
            jobs = await self._ledger.jobs(project, before=before, limit=limit)
            return [self._with_leases(job) for job in jobs]

    def next_change(self, name: str) -> asyncio.Event:
        """Returns an event that the next change of a job sets.

        Raises:
            Unavailable: SERVER_STOPPING when there will be none.
        """
        return self._changes.next(name)

    def announce(self, name: str) -> None:
        """Wakes those who watch a job."""
        self._changes.announce(name)

    async def retry(self, name: str) -> Job:
        """Queues a job again; see `Ledger.retry`."""
        job = await self.change(lambda: self._ledger.retry(name))
        self._changes.announce(_TASKS)
        self._changes.announce(name)
        return self._with_leases(job)

    async def cancel(self, name: str) -> Job:
        """Stops a job; one that has ended stays as it is.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """

        async def change() -> Job:
            job = await self._ledger.cancel(name)
            self._leases.drop_job(name)
            self._changes.announce(name)
            return job

        return await self.change(change)

    async def lease(
        self,
        worker_id: str,
        *,
        wait_seconds: float,
        kinds: Collection[TaskKind] = TRACKING_TASKS,
    ) -> LeasedTask | None:
        """Returns a task for a worker, waiting for one; None if none became free in time.

        Raises:
            Unavailable: SERVER_STOPPING.
        """
        end = self._clock.monotonic_seconds() + wait_seconds
        while True:
            changed = self._changes.next(_TASKS)
            task = await self.change(lambda: self._lease(worker_id, kinds))
            rest = end - self._clock.monotonic_seconds()
            if task is not None or rest <= 0:
                return task
            await _first(changed.wait(), self._clock.sleep(rest))

    async def renew(self, key: TaskKey, token: int, count: Count) -> Lease:
        """Prolongs a lease and notes progress; returns the lease.

        A lease that has expired begins again if nobody else has taken the task yet.

        Raises:
            Aborted: LEASE_LOST.
        """
        lease = await self.held_lease(key, token)
        if count.frames > 0 and lease.count.frames == 0:
            await self.change(lambda: self._ledger.note_first_frame(key.job))
        self._leases.renew(lease, count, now_seconds=self._clock.monotonic_seconds())
        self._changes.announce(key.job)
        return lease

    async def held_lease(self, key: TaskKey, token: int) -> Lease:
        """Returns the lease of whoever holds a task; one that has expired begins again.

        Raises:
            Aborted: LEASE_LOST.
        """
        lease = self._leases.find(key, token)
        if lease is None:
            lease = await self.change(lambda: self._reclaim(key, token))
        return lease

    async def complete(self, key: TaskKey, token: int, count: Count) -> None:
        """Ends a task; see `Ledger.complete`."""
        await self._end(key, lambda: self._ledger.complete(key, token, count))

    async def fail(self, key: TaskKey, token: int, error: ShoalError) -> None:
        """Gives a task back with its error; see `Ledger.fail`."""
        await self._end(key, lambda: self._ledger.fail(key, token, error))

    async def sweep(self) -> None:
        """Puts tasks back whose leases have expired, as long as it runs.

        Once it is cancelled, those who wait for tasks or jobs are told that it is over.
        """
        try:
            while True:
                now_seconds = self._clock.monotonic_seconds()
                await self._clock.sleep(self._leases.seconds_to_next_end(now_seconds))
                await self.change(self._expire)
        finally:
            self._changes.close()

    async def close(self) -> None:
        """Waits for the changes that are under way, then closes the ledger."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._ledger.close()

    async def _lease(self, worker_id: str, kinds: Collection[TaskKind]) -> LeasedTask | None:
        task = await self._ledger.lease(worker_id, kinds)
        if task is not None:
            self._leases.add(task, now_seconds=self._clock.monotonic_seconds())
            self._changes.announce(task.key.job)
        return task

    async def _reclaim(self, key: TaskKey, token: int) -> Lease:
        task = await self._ledger.reclaim(key, token)
        return self._leases.add(task, now_seconds=self._clock.monotonic_seconds())

    async def _end(self, key: TaskKey, write: Callable[[], Awaitable[None]]) -> None:
        async def change() -> None:
            await write()
            self._leases.drop(key)
            await self._settle(key.job)

        await self.change(change)

    async def _expire(self) -> None:
        for lease in self._leases.expired(self._clock.monotonic_seconds()):
            task = lease.task
            logger.warning("the lease of task %d of %s has expired", task.key.index, task.key.job)
            # First here: a renewal that comes now has to ask the ledger.
            self._leases.drop(task.key)
            try:
                await self._ledger.expire(
                    task.key,
                    task.fencing_token,
                    counts=lease.heard_of,
                    exhausted=_worker_lost(task),
                )
            except ResourceExhausted as error:
                logger.error("%s", error.message)
                now_seconds = self._clock.monotonic_seconds()
                self._leases.add(task, now_seconds=now_seconds, heard_of=lease.heard_of)
                continue
            await self._settle(task.key.job)

    async def _settle(self, job_name: str) -> None:
        job = await self._ledger.job(job_name)
        if job.state.ended:
            self._leases.drop_job(job_name)
        self._changes.announce(job_name)
        self._changes.announce(_TASKS)

    async def change(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        """Does something with the ledger while nothing else changes; to its end in any case."""

        async def locked() -> Result:
            async with self._one_at_a_time:
                return await operation()

        task = asyncio.create_task(locked())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report_to_nobody)
            raise

    def _with_leases(self, job: Job) -> Job:
        counts = dict.fromkeys(TaskKind, Count())
        leases = list(self._leases.of_job(job.name))
        for lease in leases:
            counts[lease.task.kind] += lease.count
        before, inferred = job.progress, counts[TaskKind.INFER_SEGMENT]
        progress = dataclasses.replace(
            before,
            inferred_frame_count=before.inferred_frame_count + inferred.frames,
            linked_frame_count=before.linked_frame_count + counts[TaskKind.LINK].frames,
            instance_count=before.instance_count + inferred.instances,
            overflow_frame_count=before.overflow_frame_count + inferred.overflow_frames,
        )
        return dataclasses.replace(
            job, progress=progress, trainings=_with_measurements(job.trainings, leases)
        )


def _with_measurements(
    trainings: Sequence[Training], leases: Iterable[Lease]
) -> tuple[Training, ...]:
    by_stage = {lease.task.training_stage: lease for lease in leases}
    return tuple(
        training
        if (lease := by_stage.get(training.stage)) is None
        else dataclasses.replace(
            training, last=lease.measurement, heard_time_us=lease.heard_time_us
        )
        for training in trainings
    )


def _report_to_nobody(change: asyncio.Task[Any]) -> None:
    """Logs the failure of a change whose caller has gone; a bug as one."""
    error = None if change.cancelled() else change.exception()
    if isinstance(error, ShoalError):
        logger.info("nobody waits for: %s", error.message)
    elif error is not None:
        logger.error("a change failed with a bug", exc_info=error)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _worker_lost(task: LeasedTask) -> ShoalError:
    what = f"Frames {task.span.start} to {task.span.stop} (excluded) were"
    if task.training_stage is not None:
        what = f"Training of {task.training_stage} was"
    return Unavailable(
        "WORKER_LOST",
        f"{what} tried {task.attempt_count} times and every worker was lost on the way; look into "
        "the workers' logs, then create the job again.",
        job=task.key.job,
        task_index=task.key.index,
        attempt_count=task.attempt_count,
    )

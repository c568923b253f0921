"""The worker's side of the work queue: leases, heartbeats, endings."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common.interceptors import error_status
from shoal_common.status import typed_errors
from shoal_core.errors import (
    Aborted,
    DeadlineExceeded,
    Internal,
    NotFound,
    ResourceExhausted,
    ShoalError,
    Unavailable,
)

logger = logging.getLogger(__name__)

_WAIT_MS = 20_000
_CALL_SECONDS = 10.0
_RENEW_EVERY_SECONDS = 0.5
_PASSING = (Unavailable, DeadlineExceeded, ResourceExhausted, Internal)
"""What an orchestrator that restarts, or whose disk is full, says until that is over."""


class Lease:
    """One leased task: progress goes in, heartbeats go out."""

    def __init__(
        self, task: jobs_pb2.Task, stub: "jobs_pb2_grpc.WorkQueueServiceAsyncStub"
    ) -> None:
        self.task = task
        self.done_frame_count = 0
        self.instance_count = 0
        self.overflow_frame_count = 0
        self.control = jobs_pb2.TrainingControl()
        """What a trainer is to be told; heartbeats bring it."""
        self._control_changed = asyncio.Event()
        self._stub = stub

    def advance(self, frame_count: int, instance_count: int, overflow_frame_count: int = 0) -> None:
        """Counts frames that have been processed; the next heartbeat tells."""
        self.done_frame_count += frame_count
        self.instance_count += instance_count
        self.overflow_frame_count += overflow_frame_count

    def control_changed(self) -> asyncio.Event:
        """Returns an event that the next change of `control` sets."""
        return self._control_changed

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs the work of the task under heartbeats and reports how it ended.

        Work whose lease is lost is cancelled: another worker has it, or nobody wants it.
        """
        working = asyncio.create_task(work)
        beating = asyncio.create_task(self._beat_until_lost())
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await self._report(working)
            else:
                beating.result()  # raises what is a bug; otherwise the lease is lost
        finally:
            for running in (working, beating):
                running.cancel()
            await asyncio.gather(working, beating, return_exceptions=True)

    async def _beat_until_lost(self) -> None:
        lease_seconds = self.task.lease_duration_ms / 1000
        interval = min(_RENEW_EVERY_SECONDS, lease_seconds / 3)
        while True:
            await asyncio.sleep(interval)
            try:
                with typed_errors("orchestrator"):
                    response = await self._stub.RenewLease(
                        jobs_pb2.RenewLeaseRequest(
                            task=self.task.name,
                            fencing_token=self.task.fencing_token,
                            done_frame_count=self.done_frame_count,
                            instance_count=self.instance_count,
                            overflow_frame_count=self.overflow_frame_count,
                        ),
                        timeout=lease_seconds,
                    )
                    self._take(response.control)
            except (Aborted, NotFound) as lost:
                logger.warning("%s: lease lost: %s", self.task.name, lost.message)
                return
            except ShoalError as error:
                # The work goes on: the token decides in the end whose results count.
                logger.warning("%s: no heartbeat: %s", self.task.name, error.message)

    def _take(self, control: jobs_pb2.TrainingControl) -> None:
        if control != self.control:
            self.control = control
            changed, self._control_changed = self._control_changed, asyncio.Event()
            changed.set()

    async def _report(self, working: asyncio.Task[None]) -> None:
        error = working.exception()
        try:
            with typed_errors("orchestrator"):
                if error is None:
                    await self._stub.CompleteTask(
                        jobs_pb2.CompleteTaskRequest(
                            task=self.task.name,
                            fencing_token=self.task.fencing_token,
                            done_frame_count=self.done_frame_count,
                            instance_count=self.instance_count,
                            overflow_frame_count=self.overflow_frame_count,
                        ),
                        timeout=_CALL_SECONDS,
                        wait_for_ready=True,
                    )
                elif isinstance(error, Exception):
                    await self._stub.FailTask(
                        jobs_pb2.FailTaskRequest(
                            task=self.task.name,
                            fencing_token=self.task.fencing_token,
                            error=error_status(error, self.task.name),
                        ),
                        timeout=_CALL_SECONDS,
                        wait_for_ready=True,
                    )
        except ShoalError as lost:
            # Committed results stay; the lease runs out and the next worker finds them.
            logger.warning("%s: the ending was not heard: %s", self.task.name, lost.message)


class TaskQueue:
    """Leases tasks from the orchestrator, patiently."""

    def __init__(self, stub: "jobs_pb2_grpc.WorkQueueServiceAsyncStub", *, worker_id: str) -> None:
        self._stub = stub
        self._worker_id = worker_id

    async def lease(self, kinds: "Iterable[jobs_pb2.TaskKind.ValueType]") -> Lease:
        """Returns the next task of some kinds, however long it takes."""
        request = jobs_pb2.LeaseTaskRequest(
            worker_id=self._worker_id, wait_ms=_WAIT_MS, kinds=kinds
        )
        while True:
            try:
                with typed_errors("orchestrator"):
                    response = await self._stub.LeaseTask(
                        request, timeout=_WAIT_MS / 1000 + _CALL_SECONDS, wait_for_ready=True
                    )
            except _PASSING as error:
                logger.warning("no task: %s", error.message)
                await asyncio.sleep(_RENEW_EVERY_SECONDS)
                continue
            if response.HasField("task"):
                return Lease(response.task, self._stub)

"""What a trainer says, told to the orchestrator in its order, a few times a second."""

import asyncio
import logging

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc, training_pb2
from shoal_common.status import typed_errors
from shoal_core.errors import ShoalError
from shoal_worker.patience import patiently

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 0.2
_CALL_SECONDS = 10.0
_MAX_EVENTS = 500
_MAX_LINES = 200
"""Lines of an event; what comes beyond before it is told is only counted."""
_MAX_LINE_LENGTH = 2000
_MAX_LENGTH = 20_000
"""Characters of an event: as many events as a message may hold are then within its limit."""
_MAX_LINES_OF_ATTEMPT = 20_000


class Reporter:
    """Events wait until the orchestrator has them; of measurements, only the last one does."""

    def __init__(
        self, task: jobs_pb2.Task, stub: "jobs_pb2_grpc.WorkQueueServiceAsyncStub"
    ) -> None:
        self._task = task
        self._stub = stub
        self._events: list[training_pb2.JobEvent] = []
        self._number = 0
        self._last: training_pb2.TrainingMeasurement | None = None
        self._lines: list[str] = []
        self._length = 0
        self._dropped_line_count = 0
        self._line_count = 0

    def measured(self, measurement: training_pb2.TrainingMeasurement) -> None:
        """Notes what was measured last."""
        self._last = measurement

    def happened(self, event: training_pb2.JobEvent) -> None:
        """Notes an event, behind the lines that came before it."""
        self._close_lines()
        self._number += 1
        event.number = self._number
        self._events.append(event)

    def log(self, line: str) -> None:
        """Notes a line of the trainer's."""
        self._line_count += 1
        self._length += len(line := line[:_MAX_LINE_LENGTH])
        fits = len(self._lines) < _MAX_LINES and self._length <= _MAX_LENGTH
        if fits and self._line_count <= _MAX_LINES_OF_ATTEMPT:
            self._lines.append(line)
        else:
            self._dropped_line_count += 1

    async def run(self) -> None:
        """Tells what there is as long as it runs; what is not heard is told again."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            try:
                with typed_errors("orchestrator"):
                    await self._tell()
            except ShoalError as error:
                # The heartbeat decides whether the lease is lost.
                logger.warning("%s: a report was not heard: %s", self._task.name, error.message)

    async def finish(self) -> None:
        """Tells all that is left.

        Raises:
            ShoalError: Those of `shoal.jobs.v1.ReportTraining`.
        """
        self._close_lines()
        while self._events or self._last is not None:
            await patiently("orchestrator", self._tell)

    async def _tell(self) -> None:
        if self._lines:  # that lines are left out is told with what is told next
            self._close_lines()
        events, last = self._events[:_MAX_EVENTS], self._last
        if not events and last is None:
            return
        await self._stub.ReportTraining(
            jobs_pb2.ReportTrainingRequest(
                task=self._task.name,
                fencing_token=self._task.fencing_token,
                last=last,
                events=events,
            ),
            timeout=_CALL_SECONDS,
        )
        del self._events[: len(events)]
        if self._last is last:
            self._last = None

    def _close_lines(self) -> None:
        if not self._lines and not self._dropped_line_count:
            return
        log = training_pb2.LogLines(lines=self._lines, dropped_line_count=self._dropped_line_count)
        self._lines, self._length, self._dropped_line_count = [], 0, 0
        self.happened(training_pb2.JobEvent(log=log))

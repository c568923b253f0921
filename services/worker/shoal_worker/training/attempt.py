"""One attempt at a stage: the trainer runs, is heard, told and watched, until it ends."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from shoal.jobs.v1 import training_pb2
from shoal_core.errors import ShoalError
from shoal_worker.queue import Lease
from shoal_worker.training.artifacts import RunArtifacts
from shoal_worker.training.messages import TrainerEvent, report
from shoal_worker.training.monitor import Monitor
from shoal_worker.training.reporter import Reporter
from shoal_worker.training.trainer import Trainer

logger = logging.getLogger(__name__)

LOG_FILE = "trainer.log"
_STOP_AGAIN_SECONDS = 1.0
_KEPT_LINES = 20


@dataclass(frozen=True)
class Outcome:
    """How a trainer ended."""

    status: int
    """Exit status; 128 and the signal for one that was killed."""
    stalled: bool
    """Whether it was killed because nothing had been heard of it."""
    last_lines: Sequence[str]
    """The end of what it wrote to its standard error."""


class Attempt:
    """Everything that goes on beside a running trainer."""

    def __init__(
        self,
        *,
        lease: Lease,
        monitor: Monitor,
        reporter: Reporter,
        artifacts: RunArtifacts,
        run_folder: Path,
        stall_seconds: float,
        push_seconds: float,
    ) -> None:
        self._lease = lease
        self._monitor = monitor
        self._reporter = reporter
        self._artifacts = artifacts
        self._run_folder = run_folder
        self._stall_seconds = stall_seconds
        self._push_seconds = push_seconds
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._heard_seconds = 0.0
        self._stalled = False

    async def run(self, command: Sequence[str]) -> Outcome:
        """Runs the trainer to its end, whatever that is."""
        self._hear()
        with (self._run_folder / LOG_FILE).open("a", errors="replace") as log:
            async with (
                Trainer.start(command, self._run_folder) as trainer,
                asyncio.TaskGroup() as group,
            ):
                reading = [
                    group.create_task(self._read(trainer.output(), log)),
                    group.create_task(self._read(trainer.errors(), log, self._last_lines)),
                ]
                beside = [group.create_task(work) for work in self._beside(trainer)]
                status = await trainer.wait()
                await asyncio.wait(reading)
                for task in beside:
                    task.cancel()
        while await self._monitor.has_message():
            self._take(await self._monitor.receive())
        return Outcome(status, self._stalled, tuple(self._last_lines))

    def _beside(self, trainer: Trainer) -> list[Coroutine[Any, Any, None]]:
        return [
            self._listen(),
            self._command(),
            self._push(),
            self._watch(trainer),
            self._reporter.run(),
        ]

    async def _read(
        self, lines: AsyncIterator[str], log: TextIO, kept: deque[str] | None = None
    ) -> None:
        async for line in lines:
            self._hear()
            log.write(f"{line}\n")
            log.flush()
            self._reporter.log(line)
            if kept is not None and line.strip():
                kept.append(line)

    async def _listen(self) -> None:
        while True:
            self._take(await self._monitor.receive())
            self._hear()

    def _take(self, message: bytes) -> None:
        measured = report(message)
        if measured is None:
            return
        self._reporter.measured(measured.measurement)
        if measured.event is TrainerEvent.EPOCH_END:
            self._reporter.happened(training_pb2.JobEvent(epoch_ended=measured.measurement))

    async def _command(self) -> None:
        """Passes on what people want, from the moment that the trainer listens."""
        await self._monitor.until_subscribed()
        told_change = 0
        while True:
            changed = self._lease.control_changed()
            control = self._lease.control
            if control.HasField("learning_rate") and control.learning_rate_change != told_change:
                await self._monitor.set_learning_rate(control.learning_rate)
                told_change = control.learning_rate_change
            if control.stop_requested:
                # Asked again until it has ended: a message of ZeroMQ may be lost.
                await self._monitor.stop()
                await asyncio.sleep(_STOP_AGAIN_SECONDS)
            else:
                await changed.wait()

    async def _push(self) -> None:
        while True:
            await asyncio.sleep(self._push_seconds)
            try:
                await self._artifacts.push()
            except ShoalError as error:
                logger.warning("%s: a file waits: %s", self._lease.task.name, error.message)

    async def _watch(self, trainer: Trainer) -> None:
        now_seconds = asyncio.get_running_loop().time
        while True:
            left = self._heard_seconds + self._stall_seconds - now_seconds()
            if left <= 0:
                self._stalled = True
                trainer.kill()
                return
            await asyncio.sleep(left)

    def _hear(self) -> None:
        self._heard_seconds = asyncio.get_running_loop().time()

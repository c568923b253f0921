"""What the loop is given: batches, and where it runs and who watches."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shoal_training.commands import CommandSource
from shoal_training.devices import Device
from shoal_training.distributed import ALONE, Processes
from shoal_training.learner import Learner, TrainingBatch
from shoal_training.reports import Listener


class BatchSource(Protocol):
    """Batches of a split; this process's share of them."""

    @property
    def batches_per_epoch(self) -> int:
        """How many there are in every epoch, the same in every process."""

    def epoch(self, epoch: int) -> Generator[TrainingBatch]:
        """Returns the batches of an epoch, 0 for the first; the same whenever it is asked."""


class Sketches(Protocol):
    """Draws what a network says about samples."""

    def draw(self, epoch: int, split: str, batch: TrainingBatch, learner: Learner) -> None:
        """Draws the first samples of a batch; the network is in evaluation mode."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What is learned from, and what decides which network is the best."""

    training: BatchSource
    validation: BatchSource
    """Without batches where nothing is kept for it; then the training loss decides."""


def no_commands() -> tuple[()]:
    """Nobody wants anything."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where training happens and who watches."""

    run_folder: Path
    device: Device
    listener: Listener
    commands: CommandSource = no_commands
    sketches: Sketches | None = None
    processes: Processes = ALONE
    clock: Callable[[], float] = time.monotonic

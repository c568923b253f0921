"""What is decided before each step: its learning rate, and whether training ends instead."""

import logging
from typing import Any, Literal

import torch

from shoal_training.commands import CommandSource, SetLearningRate, Stop
from shoal_training.distributed import Processes
from shoal_training.run_clock import RunClock
from shoal_training.schedule import Schedule

LOGGER = logging.getLogger(__name__)
Reason = Literal["epochs", "early_stopping", "time_budget", "stopped"]
_ENDS: tuple[Reason | None, ...] = (None, "time_budget", "stopped")


class Steering:
    """Decides in the first process, and tells the others: clocks and commands differ."""

    def __init__(
        self,
        schedule: Schedule,
        clock: RunClock,
        commands: CommandSource,
        processes: Processes,
        device: torch.device,
        total_steps: int,
    ) -> None:
        self.schedule = schedule
        self.rate = 0.0
        """Learning rate of the step that comes."""
        self.progress = 0.0
        """How much of the training is over, by steps or by time, 0 to 1."""
        self.end: Reason | None = None
        """Why there is no further step."""
        self._clock = clock
        self._commands = commands
        self._processes = processes
        self._device = device
        self._total_steps = total_steps

    def before_step(self, step: int) -> None:
        """Decides about the next step.

        Args:
            step: Steps made before.
        """
        progress = self.progress = max(step / self._total_steps, self._clock.progress)
        if self._processes.is_first:
            for command in self._commands():
                self._obey(command, step, progress)
            if self.end is None and self._clock.is_over:
                self.end = "time_budget"
        self.rate = self.schedule.rate(step, progress)
        if self._processes.count > 1:
            told = [float(_ENDS.index(self.end)), self.rate]
            values = torch.tensor(told, dtype=torch.float64, device=self._device)
            end, self.rate = self._processes.from_first(values).tolist()
            self.end = _ENDS[int(end)]

    def _obey(self, command: Stop | SetLearningRate, step: int, progress: float) -> None:
        LOGGER.info("Asked for %s.", command)
        if isinstance(command, Stop):
            self.end = "stopped"
        else:
            self.schedule.set_rate(command.learning_rate, step, progress)

    @property
    def remaining_s(self) -> float | None:
        """Estimate of the time to the end of training; None before there is one."""
        if self.progress <= 0:
            return None
        return self._clock.seconds * (1 - self.progress) / self.progress

    def state(self) -> dict[str, Any]:
        """Returns what `restore` takes."""
        return self.schedule.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where that one was that `state` was asked of."""
        self.schedule.restore(state)

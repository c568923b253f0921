"""The learning rate from step to step, and when there is nothing left to learn."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from shoal_training.config import CosineSchedule, EarlyStopping, PlateauSchedule


@dataclass
class _Waiting:
    """How long a loss has not fallen."""

    best: float = math.inf
    epochs: int = 0

    def see(self, loss: float, min_delta: float) -> None:
        """Takes an epoch's loss."""
        if loss < self.best - min_delta:
            self.best, self.epochs = loss, 0
        else:
            self.epochs += 1


class Schedule:
    """The learning rate of every step.

    A rate that somebody sets while training runs counts from there on: a plateau schedule lowers
    that one, a cosine goes on in proportion.
    """

    def __init__(self, config: PlateauSchedule | CosineSchedule, learning_rate: float) -> None:
        self._config = config
        self._rate = learning_rate
        self._waiting = _Waiting()
        self._cooldown_epochs = 0

    def rate(self, step: int, progress: float) -> float:
        """Returns the learning rate of a step.

        Args:
            step: Steps made before.
            progress: How much of the training is over, by steps or by time, 0 to 1.
        """
        if isinstance(self._config, PlateauSchedule):
            return self._rate
        warm = min(1.0, (step + 1) / max(self._config.warmup_steps, 1))
        return self._rate * warm * (1 + math.cos(math.pi * min(progress, 1.0))) / 2

    def set_rate(self, learning_rate: float, step: int, progress: float) -> None:
        """Makes `learning_rate` that of this step."""
        now = self.rate(step, progress)
        self._rate = learning_rate if now <= 0 else self._rate * learning_rate / now

    def end_epoch(self, loss: float) -> None:
        """Takes an epoch's loss, which a plateau schedule watches."""
        if not isinstance(self._config, PlateauSchedule):
            return
        self._waiting.see(loss, self._config.min_delta)
        if self._cooldown_epochs > 0:
            self._cooldown_epochs -= 1
            self._waiting.epochs = 0
        if self._waiting.epochs >= self._config.patience_epochs:
            lowered = max(self._rate * self._config.factor, self._config.min_learning_rate)
            # A rate that somebody set below the least stays there.
            self._rate = min(self._rate, lowered)
            self._waiting.epochs = 0
            self._cooldown_epochs = self._config.cooldown_epochs

    def state(self) -> dict[str, Any]:
        """Returns what `restore` takes."""
        return {
            "rate": self._rate,
            "waiting": asdict(self._waiting),
            "cooldown_epochs": self._cooldown_epochs,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where the schedule was that `state` was asked of."""
        self._rate = state["rate"]
        self._waiting = _Waiting(**state["waiting"])
        self._cooldown_epochs = state["cooldown_epochs"]


class Patience:
    """Whether training still pays (early stopping)."""

    def __init__(self, config: EarlyStopping | None) -> None:
        self._config = config
        self._waiting = _Waiting()

    def end_epoch(self, loss: float) -> None:
        """Takes an epoch's loss."""
        if self._config is not None:
            self._waiting.see(loss, self._config.min_delta)

    @property
    def is_over(self) -> bool:
        """Whether the loss has not fallen for `patience_epochs`."""
        return self._config is not None and self._waiting.epochs >= self._config.patience_epochs

    def state(self) -> dict[str, Any]:
        """Returns what `restore` takes."""
        return asdict(self._waiting)

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where that one was that `state` was asked of."""
        self._waiting = _Waiting(**state)

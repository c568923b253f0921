"""What the loop tells while it trains, and who listens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MeanLosses:
    """Of an epoch, over its samples."""

    total: float
    parts: Mapping[str, float]
    """Head name → its share."""


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """One step's batch (or batches)."""

    epoch: int
    """0 for the first."""
    batch: int
    """Within the epoch, 0 for the first."""
    batches: int
    """In the epoch."""
    epochs: int
    """Of the run, if nothing ends it earlier."""
    step: int
    """Steps made in the whole run, this one included."""
    loss: float
    learning_rate: float
    samples_per_s: float
    """Of the epoch so far, all processes together."""
    remaining_s: float | None
    """Estimate of the time to the end of training; None before there is one."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch with its validation."""

    epoch: int
    """0 for the first."""
    epochs: int
    """Of the run, if nothing ends it earlier."""
    steps: int
    """Steps made in the whole run so far."""
    training: MeanLosses
    validation: MeanLosses | None
    """None where nothing is kept for validation."""
    learning_rate: float
    samples_per_s: float
    """Of training alone, all processes together."""
    seconds: float
    """Time used by the run so far."""
    remaining_s: float | None
    """Estimate of the time to the end of training; None before there is one."""
    is_best: bool
    best_loss: float
    """Lowest validation loss so far (of training, where there is no validation)."""


class Listener:
    """Takes reports in the training thread, at once; does nothing with those it does not want."""

    def train_begin(self) -> None:
        """Training begins or goes on."""

    def epoch_begin(self, epoch: int) -> None:
        """An epoch begins, 0 for the first."""

    def batch_end(self, report: BatchReport) -> None:
        """A step was made."""

    def epoch_end(self, report: EpochReport) -> None:
        """An epoch and its validation are over."""

    def train_end(self) -> None:
        """Training is over, whatever the reason."""

    def beat(self) -> None:
        """Work goes on where there is nothing to report, for example in a validation."""


class Listeners(Listener):
    """Several listeners as one, in order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def train_begin(self) -> None:
        """Training begins or goes on."""
        for listener in self._listeners:
            listener.train_begin()

    def epoch_begin(self, epoch: int) -> None:
        """An epoch begins, 0 for the first."""
        for listener in self._listeners:
            listener.epoch_begin(epoch)

    def batch_end(self, report: BatchReport) -> None:
        """A step was made."""
        for listener in self._listeners:
            listener.batch_end(report)

    def epoch_end(self, report: EpochReport) -> None:
        """An epoch and its validation are over."""
        for listener in self._listeners:
            listener.epoch_end(report)

    def train_end(self) -> None:
        """Training is over, whatever the reason."""
        for listener in self._listeners:
            listener.train_end()

    def beat(self) -> None:
        """Work goes on where there is nothing to report."""
        for listener in self._listeners:
            listener.beat()

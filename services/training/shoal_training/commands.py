"""What somebody may want of a running training: from a monitor, or from a signal."""

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from shoal_core.errors import InvalidArgument


@dataclass(frozen=True)
class Stop:
    """Finish the step, validate, keep the best, evaluate and export."""


@dataclass(frozen=True)
class SetLearningRate:
    """Go on with another learning rate."""

    learning_rate: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InvalidArgument(
                "LEARNING_RATE_INVALID",
                f"A learning rate of {self.learning_rate} is not possible; give one above 0.",
                learning_rate=self.learning_rate,
            )


Command = Stop | SetLearningRate
CommandSource = Callable[[], Sequence[Command]]
"""Returns what has come since it was last asked."""


@contextmanager
def stop_on_signals() -> Iterator[CommandSource]:
    """While it lasts, SIGTERM and SIGINT are stops; the second one ends the process at once."""
    waiting: list[Command] = []

    def handle(number: int, frame: FrameType | None) -> None:
        waiting.append(Stop())
        signal.signal(number, before[signal.Signals(number)])

    def take() -> Sequence[Command]:
        taken = waiting[:]
        del waiting[: len(taken)]
        return taken

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

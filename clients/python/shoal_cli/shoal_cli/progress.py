"""How far long work is: one line that moves in a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, Self, TextIO

_BAR_WIDTH = 24
_RATE_WINDOW_SECONDS = 15.0
_PLAIN_PERIOD_SECONDS = 10.0
_REDRAW_PERIOD_SECONDS = 0.1
_CLEAR_LINE = "\r\033[K"


class Output(Protocol):
    """Where the lines go."""

    def write(self, text: str, /) -> object:
        """Takes text."""

    def flush(self) -> None:
        """Shows it."""


class Progress:
    """Shows the steps of a command and, within a step, bar, rate and time left."""

    def __init__(self, stream: Output, *, moves: bool, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._moves = moves
        self._clock = clock
        self._label = ""
        self._samples: deque[tuple[float, int]] = deque()
        self._last_shown_s = float("-inf")

    @classmethod
    def on(cls, stream: TextIO) -> Self:
        """Returns progress on a stream; it moves where the stream is a terminal."""
        return cls(stream, moves=stream.isatty(), clock=time.monotonic)

    def step(self, label: str) -> None:
        """Begins a step, for example "importing the model"."""
        if label == self._label:
            return
        self._label = label
        self._samples.clear()
        self._last_shown_s = float("-inf")
        self._show(label)

    def update(self, done_count: int, total_count: int, unit: str = "frames") -> None:
        """Shows how far the step is."""
        now = self._clock()
        self._samples.append((now, done_count))
        while now - self._samples[0][0] > _RATE_WINDOW_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        period = _REDRAW_PERIOD_SECONDS if self._moves else _PLAIN_PERIOD_SECONDS
        if now - self._last_shown_s < period and done_count < total_count:
            return
        self._last_shown_s = now
        self._show(progress_text(self._label, done_count, total_count, self._rate(), unit))

    def close(self) -> None:
        """Leaves the line to whatever is written next."""
        if self._moves:
            self._write(_CLEAR_LINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _rate(self) -> float | None:
        (first_s, first_count), (last_s, last_count) = self._samples[0], self._samples[-1]
        if last_s <= first_s or last_count <= first_count:
            return None
        return (last_count - first_count) / (last_s - first_s)

    def _show(self, text: str) -> None:
        self._write(f"{_CLEAR_LINE}{text}" if self._moves else f"{text}\n")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that has gone shows nothing
            self._stream.write(text)
            self._stream.flush()


def progress_text(
    label: str, done_count: int, total_count: int, rate: float | None, unit: str
) -> str:
    """Returns one line: label, bar, counts, share, rate and time left.

    Args:
        label: What is being done.
        done_count: How much of it is done.
        total_count: How much there is; 0 if that is not known yet.
        rate: Done a second; None if that is not known yet.
        unit: What is counted.
    """
    share = min(1.0, done_count / total_count) if total_count else 0.0
    filled = int(share * _BAR_WIDTH)
    bar = "█" * filled + "·" * (_BAR_WIDTH - filled)
    text = f"{label} {bar} {done_count}/{total_count} {unit} {share:4.0%}"
    if rate is None:
        return text
    left_s = max(0, total_count - done_count) / rate
    return f"{text} · {rate:.1f} {unit}/s · {duration_text(left_s)} left"


def duration_text(seconds: float) -> str:
    """Returns a duration as people write it, for example 1:02:03 or 0:09."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def standard_progress() -> Progress:
    """Returns progress on standard error, which leaves standard output to results."""
    return Progress.on(sys.stderr)

"""Where training is shown: a block that is redrawn in a terminal, lines elsewhere."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self, TextIO

from shoal_cli.progress import Output
from shoal_cli.training.story import TrainingStory
from shoal_cli.training.view import view_lines

_REDRAW_PERIOD_SECONDS = 0.1
_CLEAR_BELOW = "\r\033[J"


class Screen(Protocol):
    """Shows how training goes on."""

    def show(self, story: TrainingStory, told: Sequence[str]) -> None:
        """Shows the story as it is now; `told` is what is new in it, a line each."""

    def say(self, line: str) -> None:
        """Shows a line that stays."""

    def close(self) -> None:
        """Leaves the screen to whatever is written next."""


class LineScreen:
    """A file or a pipe: a line for everything that happens."""

    def __init__(self, stream: Output) -> None:
        self._stream = stream

    def show(self, story: TrainingStory, told: Sequence[str]) -> None:
        """Writes what is new."""
        for line in told:
            self.say(line)

    def say(self, line: str) -> None:
        """Writes a line."""
        with contextlib.suppress(OSError):  # a reader that has gone reads nothing
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def close(self) -> None:
        """There is nothing to leave."""


class BlockScreen:
    """A terminal: a few lines that are redrawn in place, ten times a second at most."""

    def __init__(
        self, stream: Output, *, width: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._width = width
        self._clock = clock
        self._height = 0
        self._last_drawn_s = float("-inf")
        self._lines: list[str] = []

    @classmethod
    def on(cls, stream: TextIO) -> Self:
        """Returns a block on a terminal."""
        return cls(
            stream, width=lambda: shutil.get_terminal_size().columns - 1, clock=time.monotonic
        )

    def show(self, story: TrainingStory, told: Sequence[str]) -> None:
        """Draws the story anew; epochs are seen in its curves."""
        self._lines = view_lines(story, self._width())
        if self._clock() - self._last_drawn_s >= _REDRAW_PERIOD_SECONDS or told:
            self._draw()

    def say(self, line: str) -> None:
        """Writes a line above the block."""
        self._write(f"{self._back()}{line}\n")
        self._height = 0
        self._draw()

    def close(self) -> None:
        """Leaves the last state standing."""
        self._draw()
        self._height = 0
        self._lines = []

    def _draw(self) -> None:
        self._write(self._back() + "".join(f"{line}\n" for line in self._lines))
        self._height = len(self._lines)
        self._last_drawn_s = self._clock()

    def _back(self) -> str:
        up = f"\033[{self._height}A" if self._height else ""
        return f"{up}{_CLEAR_BELOW}"

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that has gone shows nothing
            self._stream.write(text)
            self._stream.flush()


def standard_screen() -> Screen:
    """Returns a screen on standard error, which leaves standard output to results."""
    return BlockScreen.on(sys.stderr) if sys.stderr.isatty() else LineScreen(sys.stderr)

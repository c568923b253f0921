"""Which frames of a video: increasing runs with gaps between them.

A run is a `range` with step 1. People write runs as SLEAP does: `0-99,200` includes both ends.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from shoal_core.errors import InvalidArgument

Runs = tuple[range, ...]
"""Not empty, increasing, and no two of them touch."""

_FORM = re.compile(r"(\d{1,18})(?:\s*-\s*(\d{1,18}))?")


def merged(runs: Iterable[range]) -> Runs:
    """Returns the frames of any runs; empty ones and repetitions vanish."""
    result: list[range] = []
    for run in sorted((run for run in runs if run), key=lambda run: run.start):
        if result and run.start <= result[-1].stop:
            result[-1] = range(result[-1].start, max(result[-1].stop, run.stop))
        else:
            result.append(range(run.start, run.stop))
    return tuple(result)


def runs_of(frame_indices: Iterable[int]) -> Runs:
    """Returns the runs of single frames, in any order."""
    return merged(range(index, index + 1) for index in frame_indices)


def parse_runs(text: str) -> Runs:
    """Returns the frames of a list such as `0-99,200,300-310`.

    Raises:
        InvalidArgument: FRAMES_INVALID.
    """
    return merged(_parse_run(part.strip()) for part in text.split(","))


def runs_text(runs: Sequence[range]) -> str:
    """Returns what `parse_runs` reads."""
    return ",".join(
        str(run.start) if len(run) == 1 else f"{run.start}-{run.stop - 1}" for run in runs
    )


def frame_count(runs: Sequence[range]) -> int:
    """Returns how many frames the runs hold."""
    return sum(map(len, runs))


def within(runs: Sequence[range], start: int, stop: int) -> Iterator[int]:
    """Yields the frames of the runs from `start` to `stop` (excluded), increasing."""
    return itertools.chain.from_iterable(
        range(max(run.start, start), min(run.stop, stop)) for run in runs
    )


def _parse_run(part: str) -> range:
    match = _FORM.fullmatch(part)
    if match is None:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"{part[:40]!r} is no frame; write FIRST-LAST or single frames, separated by commas, "
            "for example 0-255,300.",
            frames=part,
        )
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"The frames {part} end before they start; write the lower one first.",
            frames=part,
        )
    return range(first, last + 1)

"""Shows 16-bit pixels with 8 bits: levels `low` to `high` become 0 to 255.

Axis legend: L levels, H height, W width, C channels.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_media.frames import Pixels

Window = tuple[int, int]
"""(low, high): the levels that become 0 and 255; what lies outside becomes 0 or 255."""

WINDOW_SAMPLE_COUNT = 16
"""Evenly spaced frames whose levels give the default window."""
_LEVEL_COUNT = 1 << 16


class Windowing:
    """Applies a window exactly: round(255 (v - low) / (high - low)), halves rounded up."""

    def __init__(self, window: Window) -> None:
        low, high = window
        if not 0 <= low < high < _LEVEL_COUNT:
            raise InvalidArgument(
                "WINDOW_INVALID",
                f"The window {low}-{high} is not possible; give 0 <= low < high <= 65535.",
                window=window,
            )
        self.window = (low, high)
        span = high - low
        levels_L = np.clip(np.arange(_LEVEL_COUNT), low, high) - low
        self._shown_L = ((2 * 255 * levels_L + span) // (2 * span)).astype(np.uint8)

    def apply_into(self, stored_HWC: Pixels, out_HWC: NDArray[np.uint8]) -> None:
        """Writes the 8-bit pixels of `stored_HWC` into `out_HWC` of the same shape."""
        # Every level has an entry, so nothing is clipped: the mode only spares a copy.
        np.take(self._shown_L, stored_HWC, out=out_HWC, mode="clip")


def dynamic_range(frames_HWC: Iterable[Pixels]) -> Window:
    """Returns the smallest and the largest level of the frames, at least one level apart."""
    extremes = [(int(frame_HWC.min()), int(frame_HWC.max())) for frame_HWC in frames_HWC]
    low = min(low for low, _ in extremes)
    high = max(high for _, high in extremes)
    if low == high:
        return (low, high + 1) if high + 1 < _LEVEL_COUNT else (low - 1, high)
    return low, high


def evenly_spaced(frame_count: int, sample_count: int) -> list[int]:
    """Returns at most `sample_count` places, the first and the last among them, in order."""
    last = frame_count - 1
    return sorted({place * last // max(1, sample_count - 1) for place in range(sample_count)})


def window_refused(path: Path) -> InvalidArgument:
    """Returns the error of a window for pixels of 8 bits."""
    return InvalidArgument(
        "WINDOW_NOT_APPLICABLE",
        f"{path} has 8 bits a channel, which are shown as they are; leave the window out.",
        path=path,
    )

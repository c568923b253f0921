"""Showing an image through a map of places, and finding points again behind it.

Axis legend: H W pixels of the result, h w knots of the map, K points. Places are complex
numbers, x + i·y in pixels, as in `articulation`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shoal_training.augment.articulation import Places

_KNOT_PX = 8
"""Pixels of the result between knots; the map is linear between them."""
_ITERATIONS = 8
_SEARCH_PX = 16
"""How far around its guess a point is looked for that steps do not find."""
_NEAR_PX = 1.0
"""A point that is not found to so many pixels of the source is under a fold: nobody sees it."""


@dataclass(frozen=True, eq=False)
class Warp:
    """Where each pixel of the result comes from, and the image that it makes."""

    sources_HW2: NDArray[np.float32]
    """(x, y) in the source image."""

    @classmethod
    def of(cls, before: Callable[[Places], Places], size_hw: tuple[int, int]) -> "Warp":
        """Returns the warp that shows before(place) at each place of a result of `size_hw`."""
        height, width = size_hw
        x_w = np.arange(0, width + _KNOT_PX, _KNOT_PX)
        y_h = np.arange(0, height + _KNOT_PX, _KNOT_PX)
        knots_hw = before(x_w + 1j * y_h[:, None])
        knots_hw2 = np.stack((knots_hw.real, knots_hw.imag), axis=-1).astype(np.float32)
        to_knots = np.array([[1 / _KNOT_PX, 0, 0], [0, 1 / _KNOT_PX, 0]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        sources = cv2.warpAffine(
            knots_hw2, to_knots, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return cls(np.asarray(sources, np.float32))

    def image(self, source_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the result (H, W, C); black where it shows what lies outside the source."""
        # An empty array for the second map, which the stubs would have, gives noise (OpenCV 5.0).
        shown = cv2.remap(  # type: ignore[call-overload]  # None is not in its stubs
            source_HWC, self.sources_HW2, None, cv2.INTER_LINEAR
        )
        return np.asarray(shown, np.uint8).reshape(*self.sources_HW2.shape[:2], -1)

    def find(
        self, points_K: Places, guesses_K: Places, forth: Callable[[Places], Places]
    ) -> Places:
        """Returns where the result shows points of the source; NaN where it does not.

        The map leads from the result to the source; each guess is moved until it leads to
        its point.

        Args:
            points_K: Points of the source; NaN stays NaN.
            guesses_K: Where they may be in the result.
            forth: What a small step in the source is in the result, roughly.
        """
        height, width = self.sources_HW2.shape[:2]
        seen_K = np.isfinite(points_K) & np.isfinite(guesses_K)
        found_K = np.where(seen_K, guesses_K, 0)
        best_K, miss_px_K = found_K, np.full(len(points_K), np.inf)
        for _ in range(_ITERATIONS):
            error_K = np.where(seen_K, points_K - self._at(found_K), 0)
            better_K = np.abs(error_K) < miss_px_K
            best_K = np.where(better_K, found_K, best_K)
            miss_px_K = np.where(better_K, np.abs(error_K), miss_px_K)
            found_K = found_K + forth(error_K)
        for point in np.flatnonzero(seen_K & (miss_px_K >= _NEAR_PX)):
            # Steps lead astray beside a fold; what is shown at all is at some pixel.
            best_K[point], miss_px_K[point] = self._nearest(points_K[point], guesses_K[point])
        inside_K = (np.abs(best_K.real - (width - 1) / 2) <= width / 2) & (
            np.abs(best_K.imag - (height - 1) / 2) <= height / 2
        )
        return np.where(seen_K & inside_K & (miss_px_K < _NEAR_PX), best_K, np.nan)

    def _nearest(self, point: complex, guess: complex) -> tuple[complex, float]:
        """Returns which pixel near a guess shows what is nearest to a point, and how near."""
        left, top = (max(int(at) - _SEARCH_PX, 0) for at in (guess.real, guess.imag))
        side = 2 * _SEARCH_PX + 1
        sources = self.sources_HW2[top : top + side, left : left + side]
        if not sources.size:
            return guess, np.inf
        gap_px2 = np.square(sources - np.array((point.real, point.imag), np.float32)).sum(axis=-1)
        row, column = np.unravel_index(gap_px2.argmin(), gap_px2.shape)
        return complex(left + column, top + row), float(np.sqrt(gap_px2[row, column]))

    def _at(self, places_K: Places) -> NDArray[Any]:
        """Returns where places of the result come from, linear between (and beyond) pixels."""
        height, width = self.sources_HW2.shape[:2]
        x_K = np.clip(np.floor(places_K.real), 0, width - 2).astype(int)
        y_K = np.clip(np.floor(places_K.imag), 0, height - 2).astype(int)
        right_K, down_K = places_K.real - x_K, places_K.imag - y_K
        corner, across, below = (
            self.sources_HW2[y_K + row, x_K + column].astype(float) @ (1, 1j)
            for row, column in ((0, 0), (0, 1), (1, 0))
        )
        return np.asarray(corner + right_K * (across - corner) + down_K * (below - corner))

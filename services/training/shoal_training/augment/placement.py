"""How an image is turned, scaled, mirrored and shifted as a whole.

Places are complex numbers, x + i·y in pixels, as in `articulation`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_training.augment.articulation import Places
from shoal_training.config import AugmentConfig


@dataclass(frozen=True)
class Placement:
    """A similarity transform from the source image to the result."""

    source_middle: complex
    result_middle: complex
    """Where that place of the source comes to lie, the shift included."""
    factor: complex
    """Turn and scale."""
    mirrored: bool
    """Whether x is mirrored about that place before the turn."""

    def after(self, places: Places) -> Places:
        """Returns where places of the source lie in the result."""
        away = places - self.source_middle
        if self.mirrored:
            away = -away.conj()
        return np.asarray(self.factor * away + self.result_middle)

    def before(self, places: Places) -> Places:
        """Returns where places of the result come from."""
        away = (places - self.result_middle) / self.factor
        if self.mirrored:
            away = -away.conj()
        return np.asarray(away + self.source_middle)

    def step_after(self, steps: Places) -> Places:
        """Returns what steps in the source are in the result."""
        return np.asarray(self.factor * (-steps.conj() if self.mirrored else steps))


def draw_placement(
    config: AugmentConfig,
    source_middle: complex,
    result_hw: tuple[int, int],
    rng: np.random.Generator,
    aside: complex = 0,
) -> Placement:
    """Returns a random placement within the configured ranges.

    Scales are drawn so that their logarithm is uniform: 1/2 is as likely as 2.

    Args:
        config: Ranges of turns, scales and shifts, and how often mirrored.
        source_middle: Place of the source image that comes to lie in the middle.
        result_hw: Size of the result.
        rng: What the placement is drawn from.
        aside: Where it is shown instead, from the result's middle.
    """
    turn_rad = np.deg2rad(rng.uniform(*config.rotation_deg))
    scale = np.exp(rng.uniform(*np.log(config.scale)))
    shift_px = rng.uniform(-1, 1, 2) * config.translation_px
    return Placement(
        source_middle=source_middle,
        result_middle=middle_of(result_hw) + aside + complex(*shift_px),
        factor=complex(scale * np.exp(1j * turn_rad)),
        mirrored=bool(rng.random() < config.flip_probability),
    )


def middle_of(size_hw: tuple[int, ...]) -> complex:
    """Returns the middle of an image."""
    return complex((size_hw[1] - 1) / 2, (size_hw[0] - 1) / 2)


def to_places(points_px: NDArray[np.floating[Any]]) -> Places:
    """Returns points (..., 2) as complex numbers; NaN where either coordinate is."""
    return np.asarray(points_px[..., 0] + 1j * points_px[..., 1], complex)


def to_points(places: Places) -> NDArray[np.float32]:
    """Returns complex places (...) as points (..., 2)."""
    return np.stack((places.real, places.imag), axis=-1).astype(np.float32)

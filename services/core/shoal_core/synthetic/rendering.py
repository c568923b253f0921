"""Pictures of synthetic animals: soft lit bodies on textured bedding.

A body is the union of round cones along the spine; its height above the ground gives the
surface normals for the light, its edge a one-pixel blend.

Axis legend: H W pixels, C channels, S points along the spine, R shelters, 2 = (x, y).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, zoom

Floats = NDArray[np.float64]

_COATS = np.array(
    [[92, 74, 62], [222, 214, 202], [58, 56, 60], [190, 138, 84], [140, 138, 142], [168, 96, 70]],
    float,
)
"""Coat colours (RGB), given to animals in turn."""
_BEDDING = np.array([176.0, 160.0, 134.0])
_GRAIN_TINT = np.array([1.0, 0.95, 0.85])
_ROOF = np.array([74.0, 82.0, 92.0])
_LIGHT = np.array([-0.45, -0.55, 0.70])
_BARE_SKIN = np.array([196.0, 150.0, 142.0])
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False)
class Animal:
    """Where one animal's surface is, in pixels."""

    spine_px_S2: Floats
    radii_px_S: Floats
    ears_px_22: NDArray[np.float32]
    ear_radius_px: float


class Picture:
    """Draws frames of one world; holds the background, which does not change."""

    def __init__(
        self,
        *,
        height_px: int,
        width_px: int,
        channels: int,
        shelters_px_R4: Floats,
        rng: np.random.Generator,
    ) -> None:
        self._channels = channels
        self._shelters_px_R4 = shelters_px_R4
        self._bedding_HW3 = _bedding(height_px, width_px, rng)

    def draw(self, animals: list[Animal], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Returns the frame (H, W, C); later animals lie above, shelters above all."""
        canvas_HW3 = self._bedding_HW3.copy()
        for index, animal in enumerate(animals):
            _paint(canvas_HW3, animal, _COATS[index % len(_COATS)])
        for left, top, right, bottom in np.rint(self._shelters_px_R4).astype(int):
            roof_HW3 = canvas_HW3[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
            roof_HW3[:] = _ROOF
            roof_HW3[:3], roof_HW3[:, :3] = _ROOF * 1.35, _ROOF * 1.25
            roof_HW3[-3:], roof_HW3[:, -3:] = _ROOF * 0.6, _ROOF * 0.7
        if self._channels == 1:
            canvas_HW3 = canvas_HW3 @ _LUMA[:, None]
        canvas_HW3 += rng.normal(0, 2.0, canvas_HW3.shape)
        return np.clip(np.rint(canvas_HW3), 0, 255).astype(np.uint8)


def _bedding(height_px: int, width_px: int, rng: np.random.Generator) -> Floats:
    """Bedding with grain of several sizes, brighter in the middle of the arena."""
    grain_HW = np.zeros((height_px, width_px))
    for cell_px, strength in ((96, 9.0), (24, 5.0), (6, 6.0), (2, 4.0)):
        rows, columns = height_px // cell_px + 2, width_px // cell_px + 2
        coarse = rng.standard_normal((rows, columns))
        grain_HW += strength * zoom(coarse, cell_px, order=1)[:height_px, :width_px]
    y_HW, x_HW = np.mgrid[-1 : 1 : height_px * 1j, -1 : 1 : width_px * 1j]
    vignette_HW = 1 - 0.16 * (x_HW**2 + y_HW**2)
    return np.asarray((_BEDDING + grain_HW[..., None] * _GRAIN_TINT) * vignette_HW[..., None])


def _paint(canvas_HW3: Floats, animal: Animal, coat_3: Floats) -> None:
    """Draws one animal and its shadow into the canvas, within its bounding box only."""
    reach = float(animal.radii_px_S.max()) + 8
    low = np.floor(animal.spine_px_S2.min(axis=0) - reach).astype(int)
    high = np.ceil(animal.spine_px_S2.max(axis=0) + reach).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, canvas_HW3.shape[1::-1])
    if (high < low + 2).any():  # outside, or too small for a slope
        return
    view_HW3 = canvas_HW3[low[1] : high[1], low[0] : high[0]]
    height_HW, cover_HW = _surface(low, view_HW3.shape[:2], animal)
    thickest = float(animal.radii_px_S.max())
    shadow_HW = gaussian_filter(np.roll(cover_HW, (3, 3), axis=(0, 1)), 0.03 * reach + 1.5)
    view_HW3 *= (1 - 0.45 * shadow_HW)[..., None]
    for ear_2 in animal.ears_px_22:
        x_HW = np.arange(low[0], high[0]) - ear_2[0]
        gap_HW = np.hypot(x_HW, (np.arange(low[1], high[1]) - ear_2[1])[:, None])
        for radius_px, colour_3 in (
            (animal.ear_radius_px, coat_3 * 0.72),
            (0.6 * animal.ear_radius_px, coat_3 * 0.5 + (70, 48, 45)),
        ):
            ear_HW = np.clip(radius_px - gap_HW + 0.5, 0, 1)
            _blend(view_HW3, np.broadcast_to(colour_3, view_HW3.shape), ear_HW)

    slope_y, slope_x = np.gradient(gaussian_filter(height_HW, 0.12 * thickest))
    normal_HW3 = np.stack((-slope_x, -slope_y, np.ones_like(slope_x)), axis=2)
    normal_HW3 /= np.linalg.norm(normal_HW3, axis=2, keepdims=True)
    light_HW1 = np.clip(normal_HW3 @ _LIGHT[:, None] / np.linalg.norm(_LIGHT), 0, 1)
    skin_HW3 = coat_3 * (0.45 + 0.75 * light_HW1) + 35 * light_HW1**8
    tail_HW = (height_HW < 0.2 * thickest) & (cover_HW > 0) & ~_near_trunk(height_HW, thickest)
    skin_HW3[tail_HW] = 0.5 * skin_HW3[tail_HW] + 0.5 * _BARE_SKIN
    _blend(view_HW3, skin_HW3, cover_HW)


def _near_trunk(height_HW: Floats, thickest: float) -> NDArray[np.bool_]:
    """Where the animal is wider than a tail: within reach of some high surface."""
    size = 2 * round(0.5 * thickest) + 1
    return np.asarray(maximum_filter(height_HW, size) > 0.3 * thickest)


def _surface(
    origin_px_2: NDArray[np.int_], shape_hw: tuple[int, int], animal: Animal
) -> tuple[Floats, Floats]:
    """Height above the ground in pixels and coverage 0 to 1 of the union of round cones.

    Each cone is drawn within its own bounding box: a long tail costs little.
    """
    height_HW = np.zeros(shape_hw)
    cover_HW = np.zeros(shape_hw)
    spine_S2, radii_S = animal.spine_px_S2 - origin_px_2, animal.radii_px_S
    for start_2, end_2, start_radius, end_radius in zip(
        spine_S2[:-1], spine_S2[1:], radii_S[:-1], radii_S[1:], strict=True
    ):
        reach = max(start_radius, end_radius) + 1
        left, top = np.maximum(np.floor(np.minimum(start_2, end_2) - reach), 0).astype(int)
        right, bottom = np.maximum(np.ceil(np.maximum(start_2, end_2) + reach), 0).astype(int) + 1
        box = (slice(top, bottom), slice(left, right))
        rows, columns = height_HW[box].shape
        x_HW = np.arange(left, left + columns) - start_2[0]
        y_HW = (np.arange(top, top + rows) - start_2[1])[:, None]
        axis_2 = end_2 - start_2
        squared = max(float(axis_2 @ axis_2), 1e-9)
        along_HW = np.clip((x_HW * axis_2[0] + y_HW * axis_2[1]) / squared, 0, 1)
        off_HW = np.hypot(x_HW - along_HW * axis_2[0], y_HW - along_HW * axis_2[1])
        radius_HW = start_radius + along_HW * (end_radius - start_radius)
        bulge_HW = np.sqrt(np.maximum(radius_HW**2 - off_HW**2, 0))
        np.maximum(height_HW[box], bulge_HW, out=height_HW[box])
        edge_HW = np.clip(radius_HW - off_HW + 0.5, 0, 1)
        np.maximum(cover_HW[box], edge_HW, out=cover_HW[box])
    return height_HW, cover_HW


def _blend(view_HW3: Floats, colour_HW3: Floats, cover_HW: Floats) -> None:
    view_HW3 += cover_HW[..., None] * (colour_HW3 - view_HW3)

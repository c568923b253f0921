"""Errors where they are: circles around the nodes of one animal (SLEAP's paper, figure 2).

Axis legend: N nodes, H W pixels, C channels, 2 = (x, y).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.metrics.localization import Localization
from shoal_core.skeleton import Skeleton
from shoal_training.plots.picture import COLOURS, picture

PERCENTILES = (50, 75, 90, 95)
_MARGIN_PX = 20
_COLOURS = (COLOURS[7], COLOURS[4], COLOURS[1], COLOURS[3])
"""Of the circles from the smallest to the largest."""


def draw_error_circles(
    path: Path,
    image_HWC: NDArray[np.uint8],
    points_px_N2: NDArray[np.float32],
    skeleton: Skeleton,
    errors: Sequence[Localization],
    *,
    px_per_mm: float | None = None,
) -> None:
    """Draws, around each node of one animal, circles that hold 50, 75, 90 and 95 % of the errors.

    Args:
        path: of the PNG file.
        image_HWC: a whole frame.
        points_px_N2: an animal of it; a node that is not visible (NaN) has no circles.
        skeleton: its nodes and edges.
        errors: of each node (`metrics.nodes.node_localization`).
        px_per_mm: scale of a bar in millimetres, where it is known; else the bar is in pixels.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    low_2, high_2 = _frame(points_px_N2, image_HWC.shape[:2])
    crop = image_HWC[low_2[1] : high_2[1], low_2[0] : high_2[0]]
    wide, tall = high_2 - low_2
    with picture(path, 6.2, 6.2 * tall / wide + 0.5) as figure:
        axes = figure.add_subplot()
        # Pixel centres are whole numbers.
        extent = (low_2[0] - 0.5, high_2[0] - 0.5, high_2[1] - 0.5, low_2[1] - 0.5)
        shown = crop[..., 0] if crop.shape[2] == 1 else crop
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        for source, destination in skeleton.edges:
            axes.plot(*points_px_N2[[source, destination]].T, color="white", lw=0.8, alpha=0.6)
        for point_2, of_node in zip(points_px_N2, errors, strict=True):
            _draw_circles(axes, point_2, of_node)
        _add_legend(axes)
        _add_scale(axes, low_2, high_2, px_per_mm)
        axes.set_xlim(extent[:2])
        axes.set_ylim(extent[2:])
        axes.set_axis_off()


def _frame(
    points_px_N2: NDArray[np.float32], size_hw: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the corners (x, y) of what is shown: the animal with a margin, within the image."""
    low_2 = np.floor(np.nanmin(points_px_N2, axis=0)).astype(np.intp) - _MARGIN_PX
    high_2 = np.ceil(np.nanmax(points_px_N2, axis=0)).astype(np.intp) + _MARGIN_PX
    return np.maximum(low_2, 0), np.minimum(high_2, (size_hw[1], size_hw[0]))


def _draw_circles(axes: Any, point_2: NDArray[np.float32], errors: Localization) -> None:
    from matplotlib.patches import Circle

    if np.isnan(point_2).any() or not len(errors.errors_px):
        return
    for percent, colour in zip(PERCENTILES, _COLOURS, strict=True):
        radius_px = float(np.percentile(errors.errors_px, percent))
        centre = (float(point_2[0]), float(point_2[1]))
        axes.add_patch(Circle(centre, radius_px, fill=False, edgecolor=colour, linewidth=1.4))


def _add_legend(axes: Any) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour) for colour in _COLOURS]
    labels = [f"{percent} %" for percent in PERCENTILES]
    axes.legend(
        lines,
        labels,
        title="share of the errors that a circle holds",
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(lines),
        frameon=False,
    )


def _add_scale(
    axes: Any, low_2: NDArray[np.intp], high_2: NDArray[np.intp], px_per_mm: float | None
) -> None:
    """Draws a bar of a round length, about a fifth of the picture."""
    unit_px, unit = (px_per_mm, "mm") if px_per_mm else (1.0, "px")
    wanted = float(high_2[0] - low_2[0]) / 5 / unit_px
    power = 10.0 ** np.floor(np.log10(wanted))
    length = power * max(step for step in (1, 2, 5) if step * power <= wanted)
    x, y = float(low_2[0]) + 5, float(high_2[1]) - 6
    axes.plot((x, x + length * unit_px), (y, y), color="white", lw=3, solid_capstyle="butt")
    axes.text(x, y - 3, f"{length:g} {unit}", color="white", va="bottom")

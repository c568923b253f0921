"""How far each node is off: distributions over all animals."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal_core.metrics.localization import Localization
from shoal_training.plots.picture import COLOURS, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALLEST_PX = 0.03
"""Errors below it are drawn there: the axis is logarithmic."""


def draw_node_errors(
    path: Path,
    nodes: Sequence[str],
    errors: Sequence[Localization],
    *,
    px_per_mm: float | None = None,
) -> None:
    """Draws each node's errors as a density, with median, quartiles and 95th percentile.

    Args:
        path: of the PNG file.
        nodes: names, from top to bottom.
        errors: of each node (`metrics.nodes.node_localization`).
        px_per_mm: scale of a second axis in millimetres, where it is known.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    with picture(path, 7.0, 1.6 + 0.42 * len(nodes)) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        labels = []
        for row, (name, of_node) in enumerate(zip(nodes, errors, strict=True)):
            _draw_row(axes, row, of_node)
            median_px = of_node.percentile_px(50)
            shown = "never found" if median_px is None else f"{median_px:.2f} px"
            labels.append(f"{name}  ({shown})")
        axes.set_yticks(range(len(nodes)), labels)
        axes.set_ylim(len(nodes) - 0.4, -0.75)
        axes.set_xlabel("error (px, logarithmic)")
        axes.grid(axis="x", which="major", color="0.88")
        axes.set_axisbelow(True)
        _add_ticks(axes, px_per_mm)
        axes.set_title("Error by node (median);  bar: quartiles,  ◆: median,  ▲: 95 %", fontsize=10)


def _draw_row(axes: "Axes", row: int, errors: Localization) -> None:
    if not len(errors.errors_px):
        return
    shown = np.maximum(errors.errors_px, _SMALLEST_PX)
    edges = np.geomspace(_SMALLEST_PX, max(float(shown.max()), 1.0) * 1.01, 60)
    counts, _ = np.histogram(shown, edges)
    # A light smoothing: bins are narrower than the errors' grain where there are few of them.
    heights = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    heights = 0.45 * heights / heights.max()
    middles = np.sqrt(edges[:-1] * edges[1:])
    axes.fill_between(middles, row - heights, row + 0 * heights, color=COLOURS[5], linewidth=0)
    low, median, high, most = np.percentile(shown, (25, 50, 75, 95))
    axes.plot((low, high), (row + 0.14,) * 2, color=COLOURS[0], linewidth=4, solid_capstyle="butt")
    axes.plot(median, row + 0.14, "D", color="white", markeredgecolor=COLOURS[0], markersize=5)
    axes.plot(most, row + 0.14, "^", color=COLOURS[1], markersize=6)


def _add_ticks(axes: "Axes", px_per_mm: float | None) -> None:
    from matplotlib.ticker import FuncFormatter

    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(plain)
    if px_per_mm:
        to_mm, to_px = partial(_times, factor=1 / px_per_mm), partial(_times, factor=px_per_mm)
        above = axes.secondary_xaxis("top", (to_mm, to_px))
        above.set_xlabel("error (mm)")
        above.xaxis.set_major_formatter(plain)


def _times(values: Any, factor: float) -> Any:
    return values * factor

"""One picture: a matplotlib figure without windows, and its file."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_training.durable import write_durably

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#000000", "#F0E442"),
)
"""Colours that the colour-blind tell apart too (Okabe & Ito, 2008), the darkest first."""
DPI = 150


@contextmanager
def picture(path: Path, width_in: float, height_in: float) -> Iterator["Figure"]:
    """Yields an empty figure and writes it afterwards.

    No global state of matplotlib is used, so that pictures may be drawn in any thread.

    Args:
        path: of the PNG file; its folder is made.
        width_in: width in inches, of `DPI` pixels.
        height_in: height in inches.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    yield figure
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, file.getvalue())


def colour(index: int) -> str:
    """Returns the colour of the index-th line."""
    return COLOURS[index % len(COLOURS)]

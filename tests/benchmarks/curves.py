"""One figure against another, for several ways of training: medians with the spread of runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shoal_training.plots.picture import colour, picture

Points = Sequence[tuple[float, float]]


def draw_curves(
    path: Path, curves: Mapping[str, Sequence[Points]], *, x_label: str, y_label: str
) -> None:
    """Draws, for each way, the median over its runs with a band from the worst to the best.

    Runs of one way are compared where they have the same x.

    Args:
        path: of the PNG file.
        curves: way → its runs, each a list of (x, y).
        x_label: what x is, with its unit.
        y_label: what y is.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    with picture(path, 6.4, 4.2) as figure:
        axes = figure.add_subplot()
        for index, (way, runs) in enumerate(curves.items()):
            at: dict[float, list[float]] = defaultdict(list)
            for points in runs:
                for x, y in points:
                    at[x].append(y)
            x_P = sorted(at)
            y_P3 = np.array([np.percentile(at[x], (0, 50, 100)) for x in x_P]).reshape(-1, 3)
            shade = colour(index)
            axes.fill_between(x_P, y_P3[:, 0], y_P3[:, 2], color=shade, alpha=0.2, linewidth=0)
            label = f"{way} ({len(runs)} run{'s' if len(runs) > 1 else ''})"
            axes.plot(x_P, y_P3[:, 1], "o-", color=shade, markersize=4, label=label)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.grid(color="0.9")
        axes.legend(frameon=False)

"""Results of a sweep as a figure."""

from collections import defaultdict
from numbers import Real
from pathlib import Path
from typing import Any

from shoal_cli.training.studies import value_text
from shoal_cli.training.sweep import Sweep
from shoal_client import TrainingSweep

_INK, _LINES = "#1f2933", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def draw_curve(result: TrainingSweep, sweep: Sweep, path: Path) -> None:
    """Writes a PNG: the figure that decides against the values of the first axis.

    Each combination of the other axes' values is a line of its own; values that are no numbers
    stand side by side. Trials without a result are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    first = result.axes[0].values
    has_numbers = all(isinstance(v, Real) and not isinstance(v, bool) for v in first)
    for number, (name, points) in enumerate(_lines(result).items()):
        x = [value if has_numbers else first.index(value) for value, _ in points]
        axes.plot(
            x,
            [figure_value for _, figure_value in points],
            "o-" if has_numbers else "o",
            color=_LINES[number % len(_LINES)],
            label=name,
            linewidth=1.8,
            markersize=6,
        )
    _label(axes, result, sweep, has_numbers=has_numbers)
    figure.savefig(path)


def _lines(result: TrainingSweep) -> dict[str, list[tuple[Any, float]]]:
    lines = defaultdict(list)
    for trial in result.trials:
        if trial.metric_value is None:
            continue
        others = zip(result.axes[1:], trial.values[1:], strict=True)
        name = ", ".join(f"{axis.key} {value_text(value)}" for axis, value in others)
        lines[name].append((trial.values[0], trial.metric_value))
    return dict(lines)


def _label(axes: Any, result: TrainingSweep, sweep: Sweep, *, has_numbers: bool) -> None:
    first = result.axes[0].values
    if has_numbers:
        if sweep.is_logarithmic:
            axes.set_xscale("log")
        axes.set_xticks(first, labels=[value_text(value) for value in first])
        axes.minorticks_off()
    else:
        names = [value_text(value) for value in first]
        axes.set_xticks(range(len(first)), labels=names, rotation=30, ha="right")
    axes.set_xlabel(sweep.title, color=_INK)
    axes.set_ylabel(f"{result.metric} on held-out frames", color=_INK)
    axes.grid(visible=True, axis="y", color="#d9dee3", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(result.axes) > 1:
        axes.legend(frameon=False)

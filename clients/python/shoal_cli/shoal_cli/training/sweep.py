"""What a sweep varies, as the command line says it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shoal_cli import messages
from shoal_cli.training.studies import STUDIES
from shoal_client import SweepAxis
from shoal_core.errors import InvalidArgument


@dataclass(frozen=True)
class Sweep:
    """Many training jobs that differ in some values."""

    axes: tuple[SweepAxis, ...]
    metric: str
    minimise: bool
    settings: tuple[str, ...] = ()
    """KEY=VALUE that all of them share."""
    title: str = ""
    """What the values of the first axis are; its key where nothing is said."""
    is_logarithmic: bool = False


def chosen_sweep(given: Sequence[str], study: str | None, *, metric: str, minimise: bool) -> Sweep:
    """Returns the sweep of `--sweep KEY=V1,V2` and `--study NAME`; the study varies slowest.

    Raises:
        InvalidArgument: SWEEP_INVALID.
    """
    axes = tuple(map(_axis, given))
    if study is None:
        return Sweep(axes, metric, minimise, title=axes[0].key)
    ready = STUDIES[study]
    return Sweep(
        (SweepAxis(ready.key, tuple(ready.values)), *axes),
        metric,
        minimise,
        settings=ready.settings,
        title=ready.title,
        is_logarithmic=ready.is_logarithmic,
    )


def feasible(sweep: Sweep, frame_count: int) -> Sweep:
    """Returns the sweep without limits above the labelled frames that there are, with a warning.

    Raises:
        InvalidArgument: SWEEP_INVALID when no limit is left.
    """
    axes = tuple(_feasible_axis(axis, frame_count) for axis in sweep.axes)
    return replace(sweep, axes=axes)


def _feasible_axis(axis: SweepAxis, frame_count: int) -> SweepAxis:
    if axis.key.rpartition(":")[2] != "data.limit":
        return axis
    possible = tuple(
        value for value in axis.values if not isinstance(value, int) or value <= frame_count
    )
    left_out = [str(value) for value in axis.values if value not in possible]
    if not possible:
        raise InvalidArgument(
            "SWEEP_INVALID",
            f"There are {frame_count} labelled frames, fewer than every {axis.key}; label more.",
        )
    if left_out:
        messages.warning(
            f"{axis.key} {', '.join(left_out)} is left out: there are {frame_count} labelled frames"
        )
    return replace(axis, values=possible)


def _axis(text: str) -> SweepAxis:
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise InvalidArgument(
            "SWEEP_INVALID", f"--sweep {text} is not KEY=V1,V2, as in data.limit=10,50,100."
        )
    return SweepAxis(key, tuple(map(_value, values.split(","))))


def _value(text: str) -> Any:
    """Returns a JSON value; what is none is a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text

"""What a sweep varies, as the command line says it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

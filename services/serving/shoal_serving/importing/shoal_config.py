"""What a model of Shoal's own training is for, read from `shoal_model.json`.

The format is described in services/training/README.md, "The model folder".
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from shoal_common.inference.contract import CROP_STAGES, Refinement
from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.body import Head
from shoal_serving.graphs.network import CONFIDENCE_HEADS
from shoal_serving.importing.config_numbers import positive, power_of_two
from shoal_serving.importing.shoal_files import CONFIG_FILE

_T = TypeVar("_T")

FORMAT = "shoal-model"
VERSION = 1

_MAX_BYTES = 16 << 20
_MAX_CROP_SIZE_PX = 1 << 14
_KEYS = frozenset(
    (
        *("format", "version", "software", "name", "kind", "skeleton", "classes", "anchor_part"),
        *("crop_size_px", "input_scale", "antialias", "channels", "max_stride", "heads"),
        *("refinement", "peak_threshold", "training_data_hash", "evaluation"),
    )
)
_UNREADABLE = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)
"""What files that are no configuration raise."""


@dataclass(frozen=True)
class ShoalConfig:
    """The parts of `shoal_model.json` that serving needs."""

    folder: Path
    stage: str
    skeleton: Skeleton
    """Nodes in the order of the head's channels; of a centroid model: its one point."""
    classes: tuple[str, ...]
    anchor_part: str | None
    crop_size_px: int | None
    input_scale: float
    antialias: bool
    channels: Literal[1, 3]
    max_stride: int
    heads: tuple[Head, ...]
    refinement: Refinement
    peak_threshold: float
    software: str


def read_shoal_config(folder: Path) -> ShoalConfig:
    """Returns what a model folder's `shoal_model.json` says.

    Raises:
        InvalidArgument: MODEL_CONFIG_INVALID (no such JSON, or a key is missing, unknown or out
            of range) or MODEL_KIND_UNSUPPORTED (a later version of the format, or another kind).
    """
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        fields = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        _check_format(path, fields)
        return _parse(folder, fields)
    except _UNREADABLE as error:
        problem = " ".join(str(error).split())[:200]
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{path} cannot be read ({type(error).__name__}: {problem}); copy it from the "
            "training run again.",
            file=path,
        ) from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check_format(path: Path, fields: Mapping[str, Any]) -> None:
    if fields["format"] != FORMAT:
        raise ValueError(f"the format is not {FORMAT!r}")
    if fields["version"] != VERSION:
        found = str(fields["version"])[:20]
        raise InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{path} has version {found} of the format, and this Shoal reads version {VERSION}; "
            "update Shoal, or export the model again.",
            file=path,
            version=found,
        )
    for problem, keys in (("lacks", _KEYS - set(fields)), ("has unknown", set(fields) - _KEYS)):
        if keys:
            raise ValueError(f"it {problem} {', '.join(sorted(keys))}")


def _parse(folder: Path, fields: Mapping[str, Any]) -> ShoalConfig:
    stage = _typed(str, fields["kind"])
    if stage not in CONFIDENCE_HEADS:
        raise InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{folder / CONFIG_FILE} names kind {stage[:50]!r}; give a model of one of "
            f"{', '.join(CONFIDENCE_HEADS)}.",
            folder=folder,
        )
    anchor = _optional(_text, fields["anchor_part"])
    crop_size = _optional(_crop_size, fields["crop_size_px"])
    if (stage in CROP_STAGES) != (crop_size is not None):
        raise ValueError(f"crop_size_px is {crop_size} of kind {stage}")
    return ShoalConfig(
        folder=folder,
        stage=stage,
        skeleton=_skeleton(fields["skeleton"], stage, anchor),
        classes=_distinct(fields["classes"]),
        anchor_part=anchor,
        crop_size_px=crop_size,
        input_scale=positive(_number(fields["input_scale"])),
        antialias=_typed(bool, fields["antialias"]),
        channels=cast("Literal[1, 3]", _one_of((1, 3), fields["channels"])),
        max_stride=power_of_two(_number(fields["max_stride"])),
        heads=tuple(_head(head) for head in fields["heads"]),
        refinement=cast("Refinement", _one_of(("integral", "offsets"), fields["refinement"])),
        peak_threshold=_threshold(fields["peak_threshold"]),
        software=_text(fields["software"]),
    )


def _skeleton(fields: Mapping[str, Any], stage: str, anchor: str | None) -> Skeleton:
    name, nodes = _text(fields["name"]), _distinct(fields["nodes"])
    if not nodes:
        raise ValueError("the skeleton has no nodes")
    if anchor is not None and anchor not in nodes:
        raise ValueError(f"anchor_part {anchor!r} is no node")
    if stage == "centroid":
        return Skeleton(name=name, nodes=(anchor or "centroid",))
    edges, symmetries = _pairs(fields["edges"]), _pairs(fields["symmetries"])
    try:
        return Skeleton(name=name, nodes=nodes, edges=edges, symmetries=symmetries)
    except InvalidArgument as error:
        raise ValueError(error.message) from error


def _pairs(pairs: Any) -> tuple[tuple[int, int], ...]:
    return tuple((_typed(int, a), _typed(int, b)) for a, b in pairs)


def _head(fields: Mapping[str, Any]) -> Head:
    if set(fields) != {"name", "channels", "stride", "is_map"}:
        raise ValueError(f"a head has the keys {', '.join(sorted(fields))[:100]}")
    channels = _typed(int, fields["channels"])
    if channels < 1:
        raise ValueError(f"a head has {channels} channels")
    return Head(
        name=_text(fields["name"]),
        channels=channels,
        stride=power_of_two(_number(fields["stride"])),
        is_map=_typed(bool, fields["is_map"]),
    )


def _crop_size(value: Any) -> int:
    side = _typed(int, value)
    if not 1 <= side <= _MAX_CROP_SIZE_PX:
        raise ValueError(f"crop_size_px is {side}")
    return side


def _threshold(value: Any) -> float:
    threshold = float(_number(value))
    if not 0 <= threshold <= 10:
        raise ValueError(f"peak_threshold is {threshold:g}")
    return threshold


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{str(value)[:50]!r} is no number")
    return value


def _text(value: Any) -> str:
    return _typed(str, value)


def _distinct(values: Any) -> tuple[str, ...]:
    names = tuple(_text(value) for value in _typed(list, values))
    if len(set(names)) != len(names):
        raise ValueError("a name comes twice")
    return names


def _typed(kind: type[_T], value: Any) -> _T:
    # A bool is an int to Python, not to the format.
    if type(value) is not kind:
        raise TypeError(f"{str(value)[:50]!r} is no {kind.__name__}")
    return value


def _optional(read: Callable[[Any], _T], value: Any) -> _T | None:
    return None if value is None else read(value)


def _one_of(choices: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, bool) or value not in choices:
        raise ValueError(f"{str(value)[:50]!r} is none of {', '.join(map(str, choices))}")
    return value

"""A training configuration as JSON: strict, so that no misspelt key trains something else."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from shoal_core.errors import InvalidArgument, NotFound
from shoal_training.config import TrainingConfig
from shoal_training.config_checks import check_config
from shoal_training.durable import write_durably


def read_config(path: Path) -> TrainingConfig:
    """Returns the configuration of a file, checked.

    Raises:
        NotFound: CONFIG_NOT_FOUND.
        InvalidArgument: CONFIG_INVALID when it is no JSON, a key is unknown, missing or of the
            wrong type, or values do not go together.
    """
    if not path.is_file():
        raise NotFound("CONFIG_NOT_FOUND", f"There is no configuration file {path}.", path=path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgument(
            "CONFIG_INVALID", f"{path} is no JSON ({error}); correct it.", path=path
        ) from error
    return from_values(values)


def write_config(config: TrainingConfig, path: Path) -> None:
    """Writes every value, also those that are defaults.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    write_durably(path, (json.dumps(to_values(config), indent=2) + "\n").encode())


def to_values(config: TrainingConfig) -> dict[str, Any]:
    """Returns what `from_values` makes the same configuration of: objects, lists and numbers."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return values


def from_values(values: Any) -> TrainingConfig:
    """Returns the configuration of JSON's values, checked.

    Raises:
        InvalidArgument: CONFIG_INVALID, as `read_config`.
    """
    config = _decoded(TrainingConfig, values, "")
    assert isinstance(config, TrainingConfig)
    check_config(config)
    return config


def apply_settings(config: TrainingConfig, settings: Sequence[str]) -> TrainingConfig:
    """Returns the configuration with `KEY=VALUE` settings, for example "optimization.epochs=3".

    A value is JSON, or YAML where it is none (so that words need no quotes). Setting the `type`
    of a variant, "network.type=leap", starts from that variant's defaults.

    Raises:
        InvalidArgument: CONFIG_INVALID, as `read_config`.
    """
    values = to_values(config)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise _invalid("", f"--set {setting!r} is not KEY=VALUE.")
        _set(values, key, _parsed(text, setting))
    return from_values(values)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    hint: Any = TrainingConfig
    for name in path:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        hint = _field_hint(hint, name, values)
        values = values[name]
    if last == "type" and len(_variants(hint)) > 1 and values.get("type") != value:
        values.clear()
    values[last] = value


def _field_hint(hint: Any, name: str, values: Mapping[str, Any]) -> Any:
    """Returns the type of a field; None where there is no such field, which is found later."""
    for variant in _variants(hint):
        if "type" not in values or len(_variants(hint)) == 1 or _type(variant) == values["type"]:
            return typing.get_type_hints(variant).get(name)
    return None


def _parsed(text: str, setting: str) -> Any:
    try:
        return json.loads(text)  # before YAML, to which 1e-4 is a word
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = str(error).splitlines()[0]
        raise _invalid("", f"--set {setting!r} is neither JSON nor YAML: {problem}.") from error


def _decoded(hint: Any, value: Any, key: str) -> Any:
    """Returns the value as the type that is wanted at a key; lists become tuples."""
    variants = _variants(hint)
    if value is None and type(None) in typing.get_args(hint):
        return None
    if variants:
        return _decoded_object(_chosen(variants, value, key), value, key)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    if typing.get_origin(hint) is tuple:
        return _decoded_tuple(typing.get_args(hint), value, key)
    if not _fits(hint, value):
        raise _invalid(key, f"{key} is {value!r}; expected {_described(hint)}.")
    return float(value) if hint is float else value


def _decoded_object(config_type: Any, values: Any, key: str) -> Any:
    if not isinstance(values, Mapping):
        raise _invalid(key, f"{key or 'The configuration'} is {values!r}; expected an object.")
    hints = typing.get_type_hints(config_type)
    for name in values:
        if name not in hints:
            raise _invalid(
                _join(key, name), f"Unknown key {_join(key, name)}; known are {', '.join(hints)}."
            )
    for field in dataclasses.fields(config_type):
        defaults = (field.default, field.default_factory)
        if defaults == (dataclasses.MISSING,) * 2 and field.name not in values:
            raise _invalid(_join(key, field.name), f"{_join(key, field.name)} is required.")
    return config_type(
        **{name: _decoded(hints[name], each, _join(key, name)) for name, each in values.items()}
    )


def _decoded_tuple(members: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    any_length = members[-1] is Ellipsis
    if not isinstance(value, list | tuple) or not (any_length or len(value) == len(members)):
        raise _invalid(
            key,
            f"{key} is {value!r}; expected a list{'' if any_length else f' of {len(members)}'}.",
        )
    hints = [members[0]] * len(value) if any_length else members
    return tuple(
        _decoded(hint, each, f"{key}[{index}]")
        for index, (hint, each) in enumerate(zip(hints, value, strict=True))
    )


def _variants(hint: Any) -> list[Any]:
    """Returns the dataclasses that may stand at a key."""
    members = typing.get_args(hint) or (hint,)
    return [each for each in members if dataclasses.is_dataclass(each)]


def _chosen(variants: Sequence[Any], value: Any, key: str) -> Any:
    if len(variants) == 1:
        return variants[0]
    by_type = {_type(variant): variant for variant in variants}
    name = value.get("type") if isinstance(value, Mapping) else None
    if name not in by_type:
        raise _invalid(
            _join(key, "type"), f"{key}.type is {name!r}; expected one of {', '.join(by_type)}."
        )
    return by_type[name]


def _type(variant: Any) -> str:
    (name,) = typing.get_args(typing.get_type_hints(variant)["type"])
    return str(name)


def _fits(hint: Any, value: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return any(value == each and type(value) is type(each) for each in typing.get_args(hint))
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    return {float: "a number", int: "a whole number", str: "text", bool: "true or false"}[hint]


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else str(name)


def _invalid(key: str, message: str) -> InvalidArgument:
    return InvalidArgument("CONFIG_INVALID", message, key=key)

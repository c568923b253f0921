"""Configuration of a process: a frozen dataclass out of a YAML file and `--set KEY=VALUE`."""

import argparse
import dataclasses
import ipaddress
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from shoal_common.logs import LogFormat
from shoal_core.errors import InvalidArgument, NotFound

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """What every service needs to listen; service configurations extend it."""

    listen: str
    """host:port or unix:/path; the whole machine can reach host 0.0.0.0, so prefer 127.0.0.1."""
    drain_seconds: float = 5.0
    """Time that running calls have to end after SIGTERM; a second SIGTERM ends them at once."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """Least level of Python's logging that reaches standard error; DEBUG has a line per call."""
    log_format: LogFormat = "text"
    """`text` for people, `json` for programs: one object a line (see `shoal_common.logs`)."""
    reflection: bool | None = None
    """Whether callers may list services and messages. None: only where this machine alone can
    reach them, on a Unix socket or a loopback address."""
    metrics_listen: str = "auto"
    """host:port where Prometheus may scrape; `auto`: the port of `listen` + 2000, nothing on a
    Unix socket; `none`: nowhere. (`off` is a truth value in YAML.)"""

    @property
    def allows_reflection(self) -> bool:
        """Whether callers may list services and messages."""
        if self.reflection is not None:
            return self.reflection
        return self.listen.startswith("unix:") or _is_loopback(self.listen.rpartition(":")[0])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def load_config(config_type: type[Config], path: Path | None, settings: Sequence[str]) -> Config:
    """Returns the configuration of a file, overridden by `KEY=VALUE` settings.

    Raises:
        NotFound: CONFIG_NOT_FOUND.
        InvalidArgument: CONFIG_INVALID when a key is unknown, missing or of the wrong type.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values.update(_read_yaml(path))
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise InvalidArgument("CONFIG_INVALID", f"--set {setting!r} is not KEY=VALUE.")
        values[key] = _parse_yaml(text, f"--set {setting!r}")
    return from_mapping(config_type, values)


def from_mapping(config_type: type[Config], values: Mapping[str, Any]) -> Config:
    """Returns the dataclass made of `values`; lists become tuples.

    Raises:
        InvalidArgument: CONFIG_INVALID when a key is unknown, missing or of the wrong type.
    """
    hints = typing.get_type_hints(config_type)
    fields = {field.name: field for field in dataclasses.fields(config_type)}  # type: ignore[arg-type]  # callers pass dataclasses
    for key in values:
        if key not in fields:
            raise InvalidArgument(
                "CONFIG_INVALID",
                f"Unknown configuration key {key!r}; known are {', '.join(sorted(fields))}.",
                key=key,
            )
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise InvalidArgument(
                "CONFIG_INVALID", f"Configuration key {name!r} is required.", key=name
            )
    return config_type(**{key: _coerce(key, value, hints[key]) for key, value in values.items()})


def require_at_least(config: object, **least: float) -> None:
    """Checks numbers of a configuration against the least that each key may be.

    Raises:
        InvalidArgument: CONFIG_INVALID names the first key that is below.
    """
    for key, value in least.items():
        if getattr(config, key) < value:
            raise InvalidArgument(
                "CONFIG_INVALID",
                f"Configuration key {key!r} is {getattr(config, key)}; give at least {value}.",
                key=key,
            )


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotFound("CONFIG_NOT_FOUND", f"There is no configuration file {path}.", path=path)
    values = _parse_yaml(path.read_text(), str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidArgument("CONFIG_INVALID", f"{path} must hold KEY: VALUE lines.", path=path)
    return values


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidArgument(
            "CONFIG_INVALID",
            f"{source} is not YAML: {str(error).splitlines()[0]}.",
            source=source,
        ) from error


def _coerce(key: str, value: Any, hint: Any) -> Any:
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        chosen = None if value is None else next(m for m in members if m is not type(None))
        return None if chosen is None else _coerce(key, value, chosen)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_coerce(key, item, members[0]) for item in value)
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if _fits(value, hint):
        return float(value) if hint is float else value
    raise InvalidArgument(
        "CONFIG_INVALID",
        f"Configuration key {key!r} is {value!r}; expected {getattr(hint, '__name__', hint)}.",
        key=key,
    )


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(hint, type) and isinstance(value, hint)


def parse_arguments(program: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns `config`, `set` and `lifeline` of a service's command line."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--config", type=Path, help="YAML file with the service's configuration")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="overrides a key"
    )
    parser.add_argument(
        "--lifeline", action="store_true", help="stop when standard input is closed"
    )
    return parser.parse_args(argv)

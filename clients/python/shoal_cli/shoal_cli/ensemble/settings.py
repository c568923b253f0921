"""`$SHOAL_HOME/config.toml`: what an ensemble does differently here.

[supervision]
silence_seconds = 60          # of `Supervision`

[services.orchestrator]
lease_seconds = 20            # any key of a service's configuration
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.specification import Supervision
from shoal_core.errors import InvalidArgument


@dataclass(frozen=True)
class EnsembleSettings:
    """What the file says; without one, nothing."""

    supervision: Supervision = field(default_factory=Supervision)
    services: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Keys and values of services' configurations, by service."""


def read_settings(home: Home) -> EnsembleSettings:
    """Returns the settings of a home.

    Raises:
        InvalidArgument: CONFIG_INVALID when the file cannot be read as such.
    """
    path = home.config_file
    try:
        tables = tomllib.loads(path.read_text())
        _check_known(tables, {field.name for field in dataclasses.fields(EnsembleSettings)})
        supervision = _table(tables, "supervision")
        _check_known(supervision, {field.name for field in dataclasses.fields(Supervision)})
        services = _table(tables, "services")
        return EnsembleSettings(
            Supervision(**supervision), {name: _table(services, name) for name in services}
        )
    except (FileNotFoundError, NotADirectoryError):
        return EnsembleSettings()
    except OSError as error:
        raise InvalidArgument(
            "CONFIG_INVALID", f"{path} cannot be read: {error.strerror}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument("CONFIG_INVALID", f"{path} is not TOML: {error}.") from error
    except InvalidArgument as error:
        raise InvalidArgument(error.reason, f"{path}: {error.message}") from error


def _table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise InvalidArgument("CONFIG_INVALID", f"{name!r} is {table!r}; it must be a table.")
    return table


def _check_known(table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise InvalidArgument(
                "CONFIG_INVALID", f"Unknown key {key!r}; known are {', '.join(sorted(known))}."
            )

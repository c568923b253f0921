"""The aliases of a model as a file: which version each names, and which it has named before."""

import json
from collections.abc import Mapping
from pathlib import Path

from shoal_core.errors import DataLoss

ALIASES_FILE = "aliases.json"

_KEPT = 32
"""Versions of an alias that are remembered."""

Aliases = Mapping[str, tuple[int, ...]]
"""Alias → the versions that it has named, the present one last; at least one."""


def read_aliases(folder: Path) -> dict[str, tuple[int, ...]]:
    """Returns the aliases of a model's folder.

    Raises:
        DataLoss: MODEL_DAMAGED when the file cannot be read.
    """
    path = folder / ALIASES_FILE
    if not path.exists():
        return {}
    try:
        return {
            str(alias): _versions(named) for alias, named in json.loads(path.read_text()).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise DataLoss(
            "MODEL_DAMAGED",
            f"The aliases of model {folder.name!r} cannot be read; delete {path} and set them "
            "again.",
            model=folder.name,
            path=path,
        ) from error


def aliases_content(aliases: Aliases) -> bytes:
    """Returns what the file is to hold."""
    return json.dumps(dict(sorted(aliases.items())), indent=2).encode()


def pointed_at(aliases: Aliases, alias: str, version: int) -> Aliases:
    """Returns the aliases with one of them, which may be new, at a version."""
    named = aliases.get(alias, ())
    if named[-1:] != (version,):
        named = (*named, version)[-_KEPT:]
    return {**aliases, alias: named}


def _versions(named: object) -> tuple[int, ...]:
    """Returns the versions of one alias; files of older releases hold the present one only."""
    versions = tuple(map(int, named)) if isinstance(named, list) else (int(str(named)),)
    if not versions:
        raise ValueError("an alias without a version")
    return versions

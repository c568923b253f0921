"""Keys of another program's configuration: which were read, so that none is ignored unseen."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoal_core.errors import InvalidArgument

_LOG = logging.getLogger(__name__)


class ProfileKeys:
    """The nested keys of a profile.

    Args:
        path: The file, for messages.
        values: What it holds.
    """

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self._values = values
        self._read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Returns the value at a dotted key; the default where it is absent or null."""
        self._read.add(key)
        value: Any = self._values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return default if value is None else value

    def number(self, key: str, default: float) -> float:
        """Returns a number.

        Raises:
            InvalidArgument: PROFILE_INVALID when it is none.
        """
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refusal(key, f"is {value!r}, which is no number")
        return float(value)

    def whole(self, key: str, default: int) -> int:
        """Returns a whole number.

        Raises:
            InvalidArgument: PROFILE_INVALID when it is none.
        """
        value = self.number(key, default)
        if value != int(value):
            raise self.refusal(key, f"is {value!r}, which is no whole number")
        return int(value)

    def the_one(self, key: str) -> str:
        """Returns the name of the one object under a key that is not null.

        Raises:
            InvalidArgument: PROFILE_INVALID when there are none or several.
        """
        objects = self.get(key, {})
        if not isinstance(objects, Mapping):
            raise self.refusal(key, f"is {objects!r}, which is no object")
        named = [name for name, value in objects.items() if value is not None]
        if len(named) != 1:
            raise self.refusal(key, f"has {len(named)} choices that are not null; leave one")
        return str(named[0])

    def refusal(self, key: str, problem: str) -> InvalidArgument:
        """Returns the error that says why a key cannot be imported."""
        return InvalidArgument(
            "PROFILE_INVALID",
            f"{self.path} cannot be imported: {key} {problem}.",
            path=self.path,
            key=key,
        )

    def warn(self, key: str, problem: str) -> None:
        """Tells that a key is not honoured."""
        _LOG.warning("%s: %s %s.", self.path, key, problem)

    def warn_of_rest(self, without_meaning: Sequence[str]) -> None:
        """Tells which keys were not read, but for those that say something.

        Args:
            without_meaning: Keys (and all that is below them) that change nothing of what is
                learned: where files go, how fast data comes.
        """
        for key, value in _leaves(self._values, ""):
            above = {key[:end] for end, char in enumerate(key) if char == "."} | {key}
            if value not in (None, False, [], {}, "") and not above & {
                *self._read,
                *without_meaning,
            }:
                self.warn(key, f"is {value!r}, which has no counterpart here and is left out")


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value

"""Resource names, for example `projects/default/jobs/3f2a`."""

import re

from shoal_core.errors import InvalidArgument

RESOURCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What may stand between two slashes of a name."""

PROJECT = "projects/{project}"
LABEL_SET = "projects/{project}/labelSets/{label_set}"
MODEL = "models/{model}"
ALIAS = "models/{model}/aliases/{alias}"
VERSION = "models/{model}/versions/{version}"
"""Patterns for `parse` that more than one service reads."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def parse(pattern: str, name: str) -> dict[str, str]:
    """Returns the ids in `name` by the placeholders of `pattern`.

    Args:
        pattern: For example `projects/{project}/jobs/{job}`.
        name: The name to take apart.

    Raises:
        InvalidArgument: NAME_INVALID when the name does not have the pattern's form.
    """
    parts, given = pattern.split("/"), name.split("/")
    ids: dict[str, str] = {}
    if len(parts) != len(given):
        raise _invalid(pattern, name)
    for part, value in zip(parts, given, strict=True):
        placeholder = _PLACEHOLDER.fullmatch(part)
        if placeholder is None:
            if part != value:
                raise _invalid(pattern, name)
        elif RESOURCE_ID.fullmatch(value) is None:
            raise _invalid(pattern, name)
        else:
            ids[placeholder.group(1)] = value
    return ids


def check_id(kind: str, value: str) -> str:
    """Returns `value` if it may be part of a resource name.

    Raises:
        InvalidArgument: NAME_INVALID when it may not.
    """
    if RESOURCE_ID.fullmatch(value) is None:
        raise InvalidArgument(
            "NAME_INVALID",
            f"{value!r} cannot name a {kind}; use letters, digits, '.', '_' and '-', at most 63.",
            name=value,
        )
    return value


def _invalid(pattern: str, name: str) -> InvalidArgument:
    return InvalidArgument(
        "NAME_INVALID", f"{name!r} does not have the form {pattern}.", name=name, pattern=pattern
    )

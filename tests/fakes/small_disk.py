"""A disk of its own for a program, small enough to be filled."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def on_small_disk(folder: Path, size_kib: int, command: Sequence[str]) -> list[str]:
    """Returns what runs a command that finds an empty disk at `folder`, which nobody else sees.

    Skips the test where no such disk can be had.
    """
    mount = f"mount -t tmpfs -o size={size_kib}k tmpfs {shlex.quote(str(folder))}"
    try:
        subprocess.run([*_NAMESPACE, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    return [*_NAMESPACE, f"{mount} && exec {shlex.join(command)}"]

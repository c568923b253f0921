"""A full disk costs the segment or the export at hand, and nothing else."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

WRITER = Path(__file__).with_name("filling_writer.py")
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def on_small_disk(folder: Path, size_kib: int) -> "subprocess.CompletedProcess[str]":
    """Runs the writer on a disk of its own; skips where no such disk can be had."""
    mount = f"mount -t tmpfs -o size={size_kib}k tmpfs {shlex.quote(str(folder))}"
    try:
        subprocess.run([*NAMESPACE, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    write = f"exec {sys.executable} {shlex.quote(str(WRITER))} {shlex.quote(str(folder))}"
    return subprocess.run(
        [*NAMESPACE, f"{mount} && {write}"], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("size_kib", [1500, 2300, 3000])
def test_a_full_disk_is_a_typed_error_and_no_damage(size_kib: int, tmp_path: Path) -> None:
    run = on_small_disk(tmp_path, size_kib)
    assert run.returncode == 0, run.stderr
    said = dict(line.split(" ", 1) for line in run.stdout.splitlines() if " " in line)
    assert said["commit"] == "DISK_FULL"
    found = re.fullmatch(r"(\d+) readable (\d+)", said["visible"])
    assert found is not None
    visible, readable = map(int, found.groups())
    assert visible > 0
    assert readable == visible * 500
    assert int(said["files"]) == visible
    assert said["export"] == "DISK_FULL"
    assert said["left"] == "0"

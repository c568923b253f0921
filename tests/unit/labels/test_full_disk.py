"""A full disk costs the segment or the export at hand, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.small_disk import on_small_disk

WRITER = Path(__file__).with_name("filling_writer.py")


@pytest.mark.parametrize("size_kib", [1500, 2300, 3000])
def test_a_full_disk_is_a_typed_error_and_no_damage(size_kib: int, tmp_path: Path) -> None:
    command = on_small_disk(tmp_path, size_kib, [sys.executable, str(WRITER), str(tmp_path)])
    run = subprocess.run(command, check=False, capture_output=True, text=True)
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

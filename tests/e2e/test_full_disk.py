"""A disk without room is named before anything starts."""

import shlex
import subprocess
from pathlib import Path

import pytest

from .shoal_command import SHOAL, environment

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def test_a_home_on_a_full_disk_is_one_line(tmp_path: Path, shared_data: Path, video: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out.slp"
    home.mkdir()
    mount = f"mount -t tmpfs -o size=4m tmpfs {shlex.quote(str(home))}"
    if subprocess.run([*NAMESPACE, mount], check=False, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be mounted here")
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    command = shlex.join([*SHOAL, "track", str(video), "-m", str(model), "-o", str(out)])

    answer = subprocess.run(
        [*NAMESPACE, f"{mount} && exec {command}"],
        check=False,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert answer.returncode != 0
    assert answer.stderr.count("\n") == 1
    assert "make room" in answer.stderr
    assert str(home) in answer.stderr
    assert not out.exists()

"""A disk without room is named before anything starts, and waited for on the way."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .shoal_command import SHOAL, environment

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def mounting(home: Path, size: str) -> str:
    """Returns the shell's words that mount a small disk, where that is allowed."""
    mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(home))}"
    if subprocess.run([*NAMESPACE, mount], check=False, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be mounted here")
    return mount


def test_a_home_on_a_full_disk_is_one_line(tmp_path: Path, shared_data: Path, video: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out.slp"
    home.mkdir()
    mount = mounting(home, "4m")
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


@pytest.mark.slow
def test_a_disk_that_fills_up_pauses_the_command_until_there_is_room(
    tmp_path: Path, shared_data: Path, video: Path
) -> None:
    home, out = tmp_path / "home", tmp_path / "out.slp"
    home.mkdir()
    mount = mounting(home, "48m")
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    words = [sys.executable, "-m", "tests.e2e.filling_command", home, video, model, out]

    answer = subprocess.run(
        [*NAMESPACE, f"{mount} && exec {shlex.join(map(str, words))}"],
        check=True,
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=240,
    )

    ended = json.loads(answer.stdout)
    assert ended["status"] == 0, ended["said"]
    assert "paused: the disk of" in ended["said"]
    assert ended["printed"].startswith("64 frames, ")
    assert out.exists()

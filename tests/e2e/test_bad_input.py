"""What a user gets wrong: one line that names it, no traceback, no half-written output.

Against the ensemble of `shoal up`, which this module starts, looks at and ends.
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .shoal_command import shoal


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path, video: Path
) -> dict[str, Path]:
    """Good and bad things by name."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 1000)
    (folder / "text.slp").write_text("these are no predictions\n")
    (folder / "cut.mp4").write_bytes(video.read_bytes()[:20_000])
    models = shared_data / "models"
    good, single = (
        models / "minimal_instance.UNet.bottomup",
        models / "minimal_robot.UNet.single_instance",
    )
    for name in ("incomplete", "mismatched", "unreadable"):
        (folder / name).mkdir()
        shutil.copyfile(good / "training_config.json", folder / name / "training_config.json")
    shutil.copyfile(single / "best_model.h5", folder / "mismatched" / "best_model.h5")
    (folder / "unreadable" / "best_model.h5").write_bytes(b"no HDF5")
    (folder / "typo.json").write_text(json.dumps({"inference": {"peak_treshold": 0.3}}))
    names = {path.name: path for path in folder.iterdir()}
    return {
        **names,
        "video": video,
        "model": good,
        "second_stage": models / "minimal_instance.UNet.centered_instance",
        "outside": Path("/etc/hostname"),
    }


@pytest.fixture(scope="module")
def running(home: Path, shared_data: Path, places: dict[str, Path]) -> Iterator[Path]:
    roots = (shared_data, places["empty.mp4"].parent, home)
    options = [word for root in roots for word in ("--root", root)]
    port = free_ports(7)
    answer = shoal(home, "up", "--first-port", port, "--engine-port", port + 6, *options)
    assert answer.returncode == 0, answer.stderr
    yield home
    answer = shoal(home, "down")
    assert answer.returncode == 0, answer.stderr
    assert shoal(home, "status").returncode == 1


def free_ports(count: int) -> int:
    """Returns the first of some neighbouring ports on which nothing listens."""
    for first in range(20_000 + os.getpid() % 30_000, 60_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for index, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + index))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")


def test_an_ensemble_that_is_up_serves_with_every_service(running: Path) -> None:
    answer = shoal(running, "status")
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count(" serving ") == 7


def test_a_second_ensemble_is_refused(running: Path) -> None:
    answer = shoal(running, "up")
    assert answer.returncode == 1
    assert "is running" in answer.stderr


def test_a_running_ensemble_is_used(running: Path, places: dict[str, Path]) -> None:
    out = running / "out.slp"
    options = ("--frames", "0-3", "-o", out)
    answer = shoal(running, "track", places["video"], "-m", places["model"], *options)
    assert answer.returncode == 0, answer.stderr
    out.unlink()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("track missing.mp4 -m {model} -o {out}", "missing.mp4"),
        ("track {empty.mp4} -m {model} -o {out}", "empty.mp4"),
        ("track {text.mp4} -m {model} -o {out}", "text.mp4"),
        ("track {cut.mp4} -m {model} -o {out}", "cut.mp4"),
        ("track {outside} -m {model} -o {out}", "/etc/hostname"),
        ("track {video} -m {incomplete} -o {out}", "best_model.h5"),
        ("track {video} -m {mismatched} -o {out}", "both files of the model folder"),
        ("track {video} -m {unreadable} -o {out}", "best_model.h5"),
        ("track {video} -m nowhere/model -o {out}", "nowhere/model"),
        ("track {video} -m unknown -o {out}", "unknown"),
        ("track {video} -m pair@unknown -o {out}", "unknown"),
        ("track {video} -m {second_stage} -o {out}", "--centroids"),
        ("track {video} -o {out}", "-m"),
        ("track {video} -m {model} -o {out} --config {typo.json}", "peak_treshold"),
        ("track {video} -m {model} -o {out} --frames 1000-1100", "1100"),
        ("track {video} -m {model} -o {out} --frames x-y", "x-y"),
        ("track {video} -m {model} -o {out} --frames 0,5,2000-2001,3000", "2000-2001"),
        ("track {video} -m {model} -o {out} --only-labeled-frames", "--labels"),
        ("track {video} -m {model} -o {out} --n-points 1", "n_points"),
        ("track {video} -m {model} -o {out} --config {text.slp}", "text.slp"),
        ("track {video} -m {model} -o {out} --centroids {typo.json}", "typo.json"),
        ("track {video} -m {model} -o missing/out.slp", "missing"),
        ("track {video} -m {model} -o /proc/out.slp", "/proc"),
        ("models show unknown", "unknown"),
        ("models rm unknown", "unknown"),
        ("models import {incomplete} --name x", "best_model.h5"),
        ("models import {model} --name x/y", "x/y"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    running: Path, places: dict[str, Path], tmp_path: Path, line: str, named: str
) -> None:
    words = [
        str({**places, "out": tmp_path / "out.slp"}[word[1:-1]]) if word.startswith("{") else word
        for word in line.split()
    ]
    answer = shoal(running, *words)
    said = [each for each in answer.stderr.splitlines() if each.startswith("shoal:")]
    assert answer.returncode in (1, 2)
    assert len(said) == 1, answer.stderr
    assert named in said[0]
    assert "Traceback" not in answer.stderr
    assert "bug" not in said[0]
    assert "Shoal failed" not in said[0]
    assert not list(tmp_path.iterdir())

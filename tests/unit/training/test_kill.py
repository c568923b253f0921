"""A killed run goes on as if nothing had happened."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.training.tiny import main

ROOT = Path(__file__).parents[3]
EPOCHS = 6
STEPS = 5 * EPOCHS


def _steps(folder: Path) -> list[str]:
    path = folder / "steps.txt"
    return path.read_text().splitlines() if path.exists() else []


def _kill_at(folder: Path, steps: int) -> None:
    """Trains in a process of its own and kills it, after so many steps of all processes."""
    folder.mkdir(exist_ok=True)
    lines = steps - len(_steps(folder))
    command = [sys.executable, "-m", "tests.unit.training.tiny", str(folder), str(EPOCHS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = list(itertools.islice(process.stdout, lines))
        assert len(told) == lines, "it ended before it was killed"
        process.send_signal(signal.SIGKILL)


def _finish(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Trains to the end, in this process."""
    folder.mkdir(exist_ok=True)
    main(folder, EPOCHS)
    losses = dict(line.split() for line in _steps(folder))
    return losses, json.loads((folder / "result.json").read_text())


def _run_with_kills(folder: Path, kill_count: int, seed: int) -> tuple[object, object]:
    for number in sorted(random.Random(seed).sample(range(1, STEPS - 5), kill_count)):
        # Counts lines, of which a kill leaves some that are made again.
        _kill_at(folder, max(number, len(_steps(folder)) + 1))
    return _finish(folder)


def test_a_run_that_was_killed_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    undisturbed = _finish(tmp_path / "whole")
    assert len(undisturbed[0]) == STEPS
    assert _run_with_kills(tmp_path / "killed", 1, seed=0) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_three_kills_at_random_points_change_no_bit(tmp_path: Path, seed: int) -> None:
    undisturbed = _finish(tmp_path / "whole")
    assert _run_with_kills(tmp_path / "killed", 3, seed) == undisturbed
    assert not [
        path for path in (tmp_path / "killed/checkpoints").iterdir() if path.suffix != ".pt"
    ]

"""Two processes that train one network."""

import json
import os
import subprocess
import sys
from pathlib import Path

from shoal_training.checkpoint import load_last

ROOT = Path(__file__).parents[3]


def test_two_processes_of_torchrun_agree_and_write_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "tests.unit.training.ddp_tiny", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["steps"] == 10
    last = load_last(tmp_path)
    assert last is not None
    assert last.steps == 10
    assert len(first["validations"]) == 2

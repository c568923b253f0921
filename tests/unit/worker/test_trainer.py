"""The training program's processes: none outlives the wish for it."""

import os
import select
import sys
from pathlib import Path

import pytest

from shoal_worker.training.trainer import Trainer

HELPER = "helper = subprocess.Popen(['sleep', '600'], start_new_session=True)"
"""As torchrun starts the processes of several GPUs."""

WAIT = "while not os.path.exists('watched'): time.sleep(0.01)"
"""Until the test holds the helper: its number alone says nothing once it is gone."""


def program(end: str) -> list[str]:
    lines = ["import os, subprocess, sys, time", HELPER, "print(helper.pid, flush=True)", WAIT, end]
    return [sys.executable, "-c", "\n".join(lines)]


def is_gone(pid_descriptor: int) -> bool:
    readable, _, _ = select.select([pid_descriptor], [], [], 0)
    os.close(pid_descriptor)
    return bool(readable)


@pytest.mark.parametrize(
    ("end", "ending", "status"), [("helper.wait()", "kill", 137), ("sys.exit(3)", "itself", 3)]
)
async def test_what_a_trainer_has_started_ends_with_it_also_in_another_session(
    tmp_path: Path, end: str, ending: str, status: int
) -> None:
    async with Trainer.start(program(end), tmp_path) as trainer:
        helper = os.pidfd_open(int(await anext(trainer.output())))
        (tmp_path / "watched").touch()
        if ending == "kill":
            trainer.kill()
        assert await trainer.wait() == status
    assert is_gone(helper)

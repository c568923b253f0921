"""Whatever the ledger has confirmed outlives a kill -9 of its process."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from shoal_orchestrator.clock import SystemClock
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import Count, TaskKey
from shoal_orchestrator.schema import sqlite_url
from shoal_orchestrator.states import JobState
from tests.fakes.ledger_jobs import SEGMENT_FRAME_COUNT, check_consistent, stored

ROOT = Path(__file__).resolve().parents[3]


def killed_run(path: Path, seed: int) -> list[dict[str, object]]:
    """Lets a child work until it has said enough, kills it; returns all that it has said."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.ledger_child", str(path), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        lines = [child.stdout.readline() for _ in range(random.Random(seed).randint(1, 60))]
    finally:
        child.kill()
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(6))
async def test_confirmed_transactions_survive_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ledger.db"
    said = killed_run(path, seed) + killed_run(path, seed + 100)
    on_disk = stored(path)
    check_consistent(on_disk)
    for fact in said:
        assert fact["job"] in on_disk.jobs
        if fact["event"] == "submitted":
            continue
        task = on_disk.tasks[TaskKey(str(fact["job"]), int(str(fact["index"])))]
        assert task.fencing_token >= int(str(fact["token"]))
        if fact["event"] == "completed":
            assert (task.state, task.done_frame_count) == ("complete", SEGMENT_FRAME_COUNT)
            assert task.fencing_token == fact["token"]


@pytest.mark.parametrize("seed", range(2))
async def test_killed_ledger_is_worked_off_to_the_end(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ledger.db"
    killed_run(path, seed)
    ledger = await Ledger.open(sqlite_url(path), clock=SystemClock(), max_attempts=3)
    try:
        for task in await ledger.leased():
            await ledger.complete(task.key, task.fencing_token, Count(SEGMENT_FRAME_COUNT, 1))
        while task := await ledger.lease("heir"):
            await ledger.complete(task.key, task.fencing_token, Count(SEGMENT_FRAME_COUNT, 1))
    finally:
        await ledger.close()
    assert set(stored(path).jobs.values()) == {JobState.SUCCEEDED}

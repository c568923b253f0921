"""What becomes of a ledger on a full disk, in a broken file, of another version."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event

from shoal_core.errors import DataLoss, FailedPrecondition, ResourceExhausted
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import Count, JobKind
from shoal_orchestrator.schema import open_engine, prepare, sqlite_url
from shoal_orchestrator.states import JobState
from tests.fakes.clock import FakeClock
from tests.fakes.ledger_jobs import new_job, new_training_job, stored
from tests.fakes.old_ledgers import write_old_ledger


async def test_commits_survive_a_power_cut(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "ledger.db"))
    async with engine.begin() as connection:
        pragmas = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous")
        }
    await engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL


async def test_foreign_file_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, " * 1000)
    with pytest.raises(DataLoss) as caught:
        await Ledger.open(sqlite_url(tmp_path / "ledger.db"), clock=FakeClock(), max_attempts=3)
    assert caught.value.reason == "LEDGER_DAMAGED"


async def test_ledger_of_another_version_is_left_alone(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "ledger.db")
    await (await Ledger.open(url, clock=FakeClock(), max_attempts=3)).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(FailedPrecondition) as caught:
        await Ledger.open(url, clock=FakeClock(), max_attempts=3)
    assert caught.value.reason == "LEDGER_VERSION_UNKNOWN"


async def test_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "ledger.db"))
    await prepare(engine)
    await engine.dispose()
    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _: connection.cursor().execute("PRAGMA max_page_count = 20"),
    )
    ledger = Ledger(engine, clock=FakeClock(), max_attempts=3)
    try:
        await ledger.submit(new_job("small"))
        with pytest.raises(ResourceExhausted) as caught:
            await ledger.submit(new_job("large", segment_count=5000))
        assert caught.value.reason == "DISK_FULL"
        assert await ledger.lease("worker") is not None
    finally:
        await ledger.close()
    assert set(stored(tmp_path / "ledger.db").jobs) == {"projects/lab/jobs/small"}


@pytest.mark.parametrize("version", [1, 2])
async def test_older_ledger_is_carried_over_with_its_jobs(tmp_path: Path, version: int) -> None:
    write_old_ledger(tmp_path / "ledger.db", version)
    ledger = await Ledger.open(
        sqlite_url(tmp_path / "ledger.db"), clock=FakeClock(), max_attempts=3
    )
    try:
        task = await ledger.lease("worker")
        assert task is not None
        await ledger.complete(task.key, task.fencing_token, Count(10, 12, 3))
        job = await ledger.job("projects/lab/jobs/kept")
        trained = await ledger.submit(new_training_job("fly"))
    finally:
        await ledger.close()
    assert (job.kind, job.state) == (JobKind.TRACK, JobState.SUCCEEDED)
    assert (job.progress.instance_count, job.progress.overflow_frame_count) == (12, 3)
    assert [training.stage for training in trained.trainings] == ["centroid", "centered_instance"]

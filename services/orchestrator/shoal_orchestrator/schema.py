"""Tables of the ledger, and how to open the database that holds them."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    false,
    inspect,
    select,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateColumn

from shoal_core.errors import DataLoss, FailedPrecondition, ResourceExhausted, ShoalError

SCHEMA_VERSION = 3
"""2: `tasks.overflow_frame_count`. 3: `jobs.kind` and the tables of training."""
WRITES = "shoal_writes"
"""Execution option of connections that will write: they take the write lock at once."""

_BUSY_TIMEOUT_MS = 30_000
_METADATA = MetaData()
# SQLite numbers rows by itself only in a column that is declared INTEGER.
_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")

VERSIONS = Table("schema_version", _METADATA, Column("version", Integer, primary_key=True))

JOBS = Table(
    "jobs",
    _METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("project", String(63), nullable=False),
    Column("kind", String(16), nullable=False, server_default="track"),
    Column("state", String(16), nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("total_frame_count", BigInteger, nullable=False),
    Column("result_label_set", String(255), nullable=False),
    Column("error_json", Text),
    Column("create_time_us", BigInteger, nullable=False),
    Column("end_time_us", BigInteger),
    Column("first_frame_time_us", BigInteger),
    Index("jobs_by_project", "project", "sequence"),
    Index("jobs_by_state", "state", "sequence"),
    sqlite_autoincrement=True,
)

TASKS = Table(
    "tasks",
    _METADATA,
    Column("job_sequence", _SEQUENCE, ForeignKey(JOBS.c.sequence), primary_key=True),
    Column("task_index", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("start_frame", BigInteger, nullable=False),
    Column("stop_frame", BigInteger, nullable=False),
    Column("source_label_set", String(255)),
    Column("result_label_set", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt_count", Integer, nullable=False, default=0),
    Column("fencing_token", BigInteger, nullable=False, default=0),
    Column("done_frame_count", BigInteger, nullable=False, default=0),
    Column("instance_count", BigInteger, nullable=False, default=0),
    Column("overflow_frame_count", BigInteger, nullable=False, server_default="0"),
    Column("worker_id", Text),
    Index("tasks_by_state", "state", "job_sequence", "task_index"),
)

TRAININGS = Table(
    "trainings",
    _METADATA,
    Column("job_sequence", _SEQUENCE, ForeignKey(JOBS.c.sequence), primary_key=True),
    Column("task_index", Integer, primary_key=True, autoincrement=False),
    Column("stage", String(63), nullable=False),
    Column("highest_epoch", BigInteger, nullable=False, server_default="-1"),
    Column("stop_requested", Boolean, nullable=False, server_default=false()),
    Column("learning_rate", Float(53)),
    Column("learning_rate_token", BigInteger, nullable=False, server_default="0"),
    Column("learning_rate_change", BigInteger, nullable=False, server_default="0"),
    Column("last_epoch", LargeBinary),
    Column("metrics", LargeBinary),
)

EVENTS = Table(
    "events",
    _METADATA,
    Column("job_sequence", _SEQUENCE, ForeignKey(JOBS.c.sequence), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("task_index", Integer, nullable=False),
    Column("fencing_token", BigInteger, nullable=False),
    Column("report_number", BigInteger),
    Column("time_us", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index(
        "events_once", "job_sequence", "task_index", "fencing_token", "report_number", unique=True
    ),
)

ARTIFACTS = Table(
    "artifacts",
    _METADATA,
    Column("job_sequence", _SEQUENCE, ForeignKey(JOBS.c.sequence), primary_key=True),
    Column("path", String(320), primary_key=True),
    Column("byte_count", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
)

SWEEPS = Table(
    "sweeps",
    _METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("project", String(63), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Index("sweeps_by_project", "project", "sequence"),
    sqlite_autoincrement=True,
)


def sqlite_url(path: Path) -> URL:
    """Returns the URL of an SQLite ledger."""
    return URL.create("sqlite+aiosqlite", database=str(path))


def open_engine(url: URL) -> AsyncEngine:
    """Returns an engine whose commits survive a power cut."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


async def prepare(engine: AsyncEngine) -> None:
    """Makes the tables of a new ledger and checks the version of an old one.

    Raises:
        FailedPrecondition: LEDGER_VERSION_UNKNOWN when another version of Shoal wrote it.
        DataLoss: LEDGER_DAMAGED when the file is not a ledger.
        ResourceExhausted: DISK_FULL.
    """
    try:
        async with engine.execution_options(**{WRITES: True}).begin() as connection:
            await connection.run_sync(_prepare)
    except DBAPIError as error:
        raise _expected(error, engine.url) or error from error


def disk_full(error: DBAPIError) -> ResourceExhausted | None:
    """Returns the typed error of a full disk; None for anything else."""
    if _sqlite_code(error) != sqlite3.SQLITE_FULL:
        return None
    return ResourceExhausted(
        "DISK_FULL", "The disk is full while writing the job ledger; make room and retry."
    )


def _expected(error: DBAPIError, url: URL) -> ShoalError | None:
    if _sqlite_code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return DataLoss(
            "LEDGER_DAMAGED",
            f"{url.database} is not a job ledger or is damaged; restore it from a backup or "
            "move it away to begin without jobs.",
            path=url.database,
        )
    return disk_full(error)


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF  # without the extension


def _prepare(connection: Connection) -> None:
    if not inspect(connection).has_table(VERSIONS.name):
        _METADATA.create_all(connection)
        connection.execute(VERSIONS.insert().values(version=SCHEMA_VERSION))
    version = connection.execute(select(VERSIONS.c.version)).scalar_one()
    if version == 1:
        _add_column(connection, TASKS, "overflow_frame_count")
        version = 2
    if version == 2:
        _add_column(connection, JOBS, "kind")
        _METADATA.create_all(connection)
        version = 3
    connection.execute(
        VERSIONS.update().where(VERSIONS.c.version < version).values(version=version)
    )
    if version != SCHEMA_VERSION:
        raise FailedPrecondition(
            "LEDGER_VERSION_UNKNOWN",
            f"The job ledger has version {version}, this Shoal reads {SCHEMA_VERSION}; use the "
            "Shoal that wrote it.",
            version=version,
        )


def _add_column(connection: Connection, table: Table, name: str) -> None:
    """Gives an older ledger a column, in the transaction that has read its version."""
    column = CreateColumn(table.c[name]).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column}")


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

"""Tables of the manifest. SQLite by default; nothing here but the connection hooks knows it."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

VERSION = 1
"""Grows with every change of the tables."""

WRITE = "shoal_write"
"""Execution option of connections that will write."""

_metadata = MetaData()
# Names are listed in the order of their bytes by every database.
_name = String().with_variant(String(collation="C"), "postgresql")

schema_versions = Table("schema_versions", _metadata, Column("version", Integer, primary_key=True))

label_sets = Table(
    "label_sets",
    _metadata,
    Column("project", _name, primary_key=True),
    Column("label_set", _name, primary_key=True),
    Column("video_json", Text, nullable=False),
    Column("skeleton_json", Text, nullable=False),
    Column("track_names_json", Text, nullable=False),
    Column("provenance_json", Text, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
)


def _segment_key() -> list[Any]:
    return [
        Column("project", _name, primary_key=True),
        Column("label_set", _name, primary_key=True),
        Column("segment_index", Integer, primary_key=True, autoincrement=False),
        ForeignKeyConstraint(
            ["project", "label_set"],
            ["label_sets.project", "label_sets.label_set"],
            ondelete="CASCADE",
        ),
    ]


segments = Table(
    "segments",
    _metadata,
    *_segment_key(),
    Column("range_start", BigInteger, nullable=False),
    Column("range_stop", BigInteger, nullable=False),
    Column("fencing_token", BigInteger, nullable=False),
    Column("path", Text, nullable=False, unique=True),
    Column("checksum", Text, nullable=False),
    Column("frame_count", BigInteger, nullable=False),
    Column("instance_count", BigInteger, nullable=False),
)

fences = Table(
    "fences",
    _metadata,
    *_segment_key(),
    Column("fencing_token", BigInteger, nullable=False),
)
"""Highest token that any writer of a segment came with, committed or not."""


def create_tables(connection: Connection) -> None:
    """Creates the tables that are not there."""
    _metadata.create_all(connection)


def create_engine(url: str) -> AsyncEngine:
    """Returns the engine behind a SQLAlchemy URL, for example `sqlite+aiosqlite:///labels.db`."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling would begin late and without IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

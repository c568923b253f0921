"""Rows of the table of artifacts, inside somebody's transaction."""

from sqlalchemy import RowMapping, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shoal_orchestrator.schema import ARTIFACTS, JOBS
from shoal_orchestrator.training_records import Artifact


async def put(connection: AsyncConnection, sequence: int, artifact: Artifact) -> None:
    """Makes a file visible, in place of an earlier one of its path."""
    await connection.execute(
        delete(ARTIFACTS).where(
            ARTIFACTS.c.job_sequence == sequence, ARTIFACTS.c.path == artifact.path
        )
    )
    await connection.execute(
        ARTIFACTS.insert().values(
            job_sequence=sequence,
            path=artifact.path,
            byte_count=artifact.byte_count,
            sha256=artifact.sha256,
            update_time_us=artifact.update_time_us,
        )
    )


async def find(connection: AsyncConnection, sequence: int, path: str) -> Artifact | None:
    """Returns a file of a job, or None if it has none of that path."""
    query = select(ARTIFACTS).where(ARTIFACTS.c.job_sequence == sequence, ARTIFACTS.c.path == path)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _artifact(row)


async def page(
    connection: AsyncConnection, sequence: int, *, prefix: str, after: str, limit: int
) -> list[Artifact]:
    """Returns files of a job by path, ascending, those behind `after`."""
    query = (
        select(ARTIFACTS)
        .where(ARTIFACTS.c.job_sequence == sequence, ARTIFACTS.c.path > after)
        .where(ARTIFACTS.c.path.startswith(prefix, autoescape=True))
        .order_by(ARTIFACTS.c.path)
        .limit(limit)
    )
    return [_artifact(row) for row in (await connection.execute(query)).mappings()]


async def is_used(connection: AsyncConnection, sequence: int, sha256: str) -> bool:
    """Whether a job has a file of these bytes."""
    query = select(ARTIFACTS.c.path).where(
        ARTIFACTS.c.job_sequence == sequence, ARTIFACTS.c.sha256 == sha256
    )
    return (await connection.execute(query.limit(1))).first() is not None


async def all_used(connection: AsyncConnection) -> set[tuple[str, str]]:
    """Returns (name of the job, SHA-256) of every file."""
    query = select(JOBS.c.name, ARTIFACTS.c.sha256).join(
        JOBS, ARTIFACTS.c.job_sequence == JOBS.c.sequence
    )
    return {(name, sha256) for name, sha256 in await connection.execute(query)}


def _artifact(row: RowMapping) -> Artifact:
    return Artifact(
        path=row["path"],
        byte_count=row["byte_count"],
        sha256=row["sha256"],
        update_time_us=row["update_time_us"],
    )

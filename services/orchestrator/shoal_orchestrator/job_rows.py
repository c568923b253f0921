"""Rows of the table of jobs, inside somebody's transaction."""

import dataclasses
import json
from collections.abc import Mapping

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shoal_core.errors import NotFound, ShoalError
from shoal_orchestrator import training_rows
from shoal_orchestrator.records import Count, Job, JobKind, NewJob, Progress, TaskKind
from shoal_orchestrator.schema import JOBS, TASKS
from shoal_orchestrator.states import JobState, TaskState, check_job


async def find(connection: AsyncConnection, name: str) -> Job | None:
    """Returns a job, or None if there is none of that name."""
    row = (await connection.execute(select(JOBS).where(JOBS.c.name == name))).mappings().first()
    if row is None:
        return None
    return (await _with_progress(connection, [row]))[0]


async def get(connection: AsyncConnection, name: str) -> Job:
    """Returns a job.

    Raises:
        NotFound: JOB_NOT_FOUND.
    """
    job = await find(connection, name)
    if job is None:
        raise NotFound(
            "JOB_NOT_FOUND",
            f"There is no job {name}; list the jobs to see what there is.",
            job=name,
        )
    return job


async def page(
    connection: AsyncConnection, project: str, *, before: int | None, limit: int
) -> list[Job]:
    """Returns a project's jobs, the newest first, from those older than `before` on."""
    query = select(JOBS).where(JOBS.c.project == project)
    if before is not None:
        query = query.where(JOBS.c.sequence < before)
    rows = await connection.execute(query.order_by(JOBS.c.sequence.desc()).limit(limit))
    return await _with_progress(connection, list(rows.mappings()))


async def insert(connection: AsyncConnection, new: NewJob, *, now_us: int) -> int:
    """Adds a job without its tasks; returns its sequence number."""
    row = JOBS.insert().values(
        name=new.name,
        project=new.project,
        kind=new.kind.value,
        state=JobState.PENDING.value,
        spec=new.spec,
        total_frame_count=new.total_frame_count,
        result_label_set=new.result_label_set,
        create_time_us=now_us,
    )
    sequence: int = (await connection.execute(row.returning(JOBS.c.sequence))).scalar_one()
    return sequence


async def move(
    connection: AsyncConnection,
    job: Job,
    state: JobState,
    *,
    now_us: int | None = None,
    error: ShoalError | None = None,
) -> None:
    """Moves a job to another state.

    Args:
        connection: The transaction.
        job: The job as it was read in the same transaction.
        state: Where it goes.
        now_us: When it ended, if `state` is an end.
        error: Why, if `state` is FAILED.
    """
    check_job(job.state, state)
    await change(
        connection,
        job.sequence,
        state=state.value,
        end_time_us=now_us,
        error_json=None if error is None else json.dumps(error.to_fields()),
    )


async def change(connection: AsyncConnection, sequence: int, **values: object) -> None:
    """Sets columns of a job, other than its state."""
    await connection.execute(update(JOBS).where(JOBS.c.sequence == sequence).values(**values))


async def _with_progress(connection: AsyncConnection, rows: list[RowMapping]) -> list[Job]:
    query = (
        select(
            TASKS.c.job_sequence,
            TASKS.c.kind,
            func.sum(TASKS.c.done_frame_count),
            func.sum(TASKS.c.instance_count),
            func.sum(TASKS.c.overflow_frame_count),
        )
        .where(TASKS.c.job_sequence.in_([row["sequence"] for row in rows]))
        .where(TASKS.c.state == TaskState.COMPLETE.value)
        .group_by(TASKS.c.job_sequence, TASKS.c.kind)
    )
    done = {
        (sequence, TaskKind(kind)): Count(int(frames), int(instances), int(overflow_frames))
        for sequence, kind, frames, instances, overflow_frames in await connection.execute(query)
    }
    jobs = [_job(row) for row in rows]
    trainings = await training_rows.of_jobs(
        connection, [job.sequence for job in jobs if job.kind is JobKind.TRAIN]
    )
    return [
        dataclasses.replace(
            job,
            progress=_progress(job, done),
            trainings=tuple(trainings.get(job.sequence, ())),
        )
        for job in jobs
    ]


def _progress(job: Job, done: Mapping[tuple[int, TaskKind], Count]) -> Progress:
    inferred = done.get((job.sequence, TaskKind.INFER_SEGMENT), Count())
    linked = done.get((job.sequence, TaskKind.LINK), Count())
    return dataclasses.replace(
        job.progress,
        inferred_frame_count=inferred.frames,
        committed_frame_count=inferred.frames,
        linked_frame_count=linked.frames,
        instance_count=inferred.instances,
        overflow_frame_count=inferred.overflow_frames,
    )


def _job(row: RowMapping) -> Job:
    return Job(
        name=row["name"],
        sequence=row["sequence"],
        kind=JobKind(row["kind"]),
        state=JobState(row["state"]),
        spec=row["spec"],
        result_label_set=row["result_label_set"],
        progress=Progress(
            total_frame_count=row["total_frame_count"],
            first_frame_time_us=row["first_frame_time_us"],
        ),
        create_time_us=row["create_time_us"],
        end_time_us=row["end_time_us"],
        error=None
        if row["error_json"] is None
        else ShoalError.from_fields(json.loads(row["error_json"])),
    )

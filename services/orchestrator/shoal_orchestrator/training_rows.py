"""Rows of the tables of training, inside somebody's transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, RowMapping, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shoal_orchestrator.schema import EVENTS, TASKS, TRAININGS
from shoal_orchestrator.states import TaskState
from shoal_orchestrator.training_records import Event, NewEvent, Training

_IS_ITS_TASK = and_(
    TASKS.c.job_sequence == TRAININGS.c.job_sequence, TASKS.c.task_index == TRAININGS.c.task_index
)


async def of_jobs(
    connection: AsyncConnection, sequences: Sequence[int]
) -> Mapping[int, list[Training]]:
    """Returns the stages of training jobs in their order, by the jobs' sequence numbers."""
    if not sequences:
        return {}
    query = (
        select(TRAININGS, TASKS.c.state, TASKS.c.fencing_token)
        .join(TASKS, _IS_ITS_TASK)
        .where(TRAININGS.c.job_sequence.in_(sequences))
        .order_by(TRAININGS.c.job_sequence, TRAININGS.c.task_index)
    )
    found = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row["job_sequence"]].append(_training(row))
    return found


async def get(connection: AsyncConnection, sequence: int, index: int) -> RowMapping:
    """Returns the row of a training."""
    query = select(TRAININGS).where(_is(sequence, index))
    return (await connection.execute(query)).mappings().one()


async def stage(connection: AsyncConnection, sequence: int, index: int) -> str:
    """Returns the id of the stage of a training."""
    return str((await get(connection, sequence, index))["stage"])


async def change(connection: AsyncConnection, sequence: int, index: int, **values: object) -> None:
    """Sets columns of a training."""
    await connection.execute(update(TRAININGS).where(_is(sequence, index)).values(**values))


async def forget_stops(connection: AsyncConnection, sequence: int) -> None:
    """Lets the stages of a job go on when it is queued again, whatever was asked before."""
    await connection.execute(
        update(TRAININGS).where(TRAININGS.c.job_sequence == sequence).values(stop_requested=False)
    )


async def last_report_number(
    connection: AsyncConnection, sequence: int, index: int, token: int
) -> int:
    """Returns how many events a worker has told under a lease."""
    query = select(func.max(EVENTS.c.report_number)).where(
        EVENTS.c.job_sequence == sequence,
        EVENTS.c.task_index == index,
        EVENTS.c.fencing_token == token,
    )
    return (await connection.execute(query)).scalar_one() or 0


async def add_events(
    connection: AsyncConnection,
    sequence: int,
    index: int,
    token: int,
    payloads: Sequence[NewEvent | bytes],
    *,
    now_us: int,
) -> None:
    """Adds events to a job; those that no worker has told are given as bytes alone."""
    if not payloads:
        return
    query = select(func.max(EVENTS.c.number)).where(EVENTS.c.job_sequence == sequence)
    last = (await connection.execute(query)).scalar_one() or 0
    await connection.execute(
        EVENTS.insert(),
        [
            {
                "job_sequence": sequence,
                "number": number,
                "task_index": index,
                "fencing_token": token,
                "report_number": None if isinstance(event, bytes) else event.report_number,
                "time_us": now_us,
                "payload": event if isinstance(event, bytes) else event.payload,
            }
            for number, event in enumerate(payloads, last + 1)
        ],
    )


async def events(
    connection: AsyncConnection, sequence: int, *, since: int, limit: int
) -> list[Event]:
    """Returns a job's events after number `since`, in their order."""
    is_its_training = and_(
        TRAININGS.c.job_sequence == EVENTS.c.job_sequence,
        TRAININGS.c.task_index == EVENTS.c.task_index,
    )
    query = (
        select(EVENTS, TRAININGS.c.stage)
        .join(TRAININGS, is_its_training)
        .where(EVENTS.c.job_sequence == sequence, EVENTS.c.number > since)
        .order_by(EVENTS.c.number)
        .limit(limit)
    )
    return [
        Event(
            number=row["number"],
            time_us=row["time_us"],
            stage=row["stage"],
            attempt=row["fencing_token"],
            payload=row["payload"],
        )
        for row in (await connection.execute(query)).mappings()
    ]


def _is(sequence: int, index: int) -> ColumnElement[bool]:
    return and_(TRAININGS.c.job_sequence == sequence, TRAININGS.c.task_index == index)


def _training(row: RowMapping) -> Training:
    return Training(
        stage=row["stage"],
        state=TaskState(row["state"]),
        attempt=row["fencing_token"],
        stop_requested=row["stop_requested"],
        last_epoch=row["last_epoch"],
        metrics=row["metrics"],
    )

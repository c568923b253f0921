"""Rows of the table of tasks, inside somebody's transaction."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import RowMapping, Select, and_, case, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shoal_orchestrator.records import FrameSpan, LeasedTask, NewTask, TaskKey, TaskKind
from shoal_orchestrator.schema import JOBS, TASKS, TRAININGS
from shoal_orchestrator.states import JobState, TaskState, check_task

_ACTIVE = (JobState.PENDING.value, JobState.RUNNING.value)


@dataclass(frozen=True)
class TaskRow:
    """A task as it is in the ledger, beside what a worker must know of it."""

    task: LeasedTask
    state: TaskState
    worker_id: str | None
    """Who leased it last; None if nobody has, or if the task was taken or given back."""
    job_sequence: int
    job_state: JobState


async def insert(connection: AsyncConnection, sequence: int, tasks: tuple[NewTask, ...]) -> None:
    """Adds the tasks of a job."""
    await connection.execute(
        TASKS.insert(),
        [
            {
                "job_sequence": sequence,
                "task_index": index,
                "kind": task.kind.value,
                "stage": task.stage,
                "start_frame": task.span.start,
                "stop_frame": task.span.stop,
                "source_label_set": task.source_label_set,
                "result_label_set": task.result_label_set,
                "state": TaskState.PENDING.value,
            }
            for index, task in enumerate(tasks)
        ],
    )
    trainings = [
        {"job_sequence": sequence, "task_index": index, "stage": task.training_stage}
        for index, task in enumerate(tasks)
        if task.kind is TaskKind.TRAIN
    ]
    if trainings:
        await connection.execute(TRAININGS.insert(), trainings)


async def next_pending(connection: AsyncConnection, kinds: Collection[TaskKind]) -> TaskRow | None:
    """Returns the first task that may be leased: of the oldest job, in order of the tasks."""
    earlier = TASKS.alias("earlier")
    blocked = exists().where(
        earlier.c.job_sequence == TASKS.c.job_sequence,
        earlier.c.stage < TASKS.c.stage,
        earlier.c.state != TaskState.COMPLETE.value,
    )
    query = (
        _tasks()
        .where(TASKS.c.state == TaskState.PENDING.value, JOBS.c.state.in_(_ACTIVE), ~blocked)
        .where(TASKS.c.kind.in_([kind.value for kind in kinds]))
        .order_by(TASKS.c.job_sequence, TASKS.c.task_index)
        .limit(1)
    )
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _task(row)


async def find(connection: AsyncConnection, key: TaskKey) -> TaskRow | None:
    """Returns a task, or None if there is none of that name."""
    query = _tasks().where(JOBS.c.name == key.job, TASKS.c.task_index == key.index)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _task(row)


async def leased(connection: AsyncConnection) -> list[LeasedTask]:
    """Returns every task that is in a worker's hands."""
    rows = await connection.execute(_tasks().where(TASKS.c.state == TaskState.LEASED.value))
    return [_task(row).task for row in rows.mappings()]


async def count(connection: AsyncConnection, state: TaskState) -> int:
    """Returns how many tasks of jobs that go on are in a state."""
    query = (
        select(func.count())
        .select_from(TASKS.join(JOBS, TASKS.c.job_sequence == JOBS.c.sequence))
        .where(TASKS.c.state == state.value, JOBS.c.state.in_(_ACTIVE))
    )
    return int((await connection.execute(query)).scalar_one())


async def move(
    connection: AsyncConnection, row: TaskRow, state: TaskState, **values: object
) -> None:
    """Moves a task, as it was read in the same transaction, and sets other columns of it."""
    check_task(row.state, state)
    await change(connection, row, state=state.value, **values)


async def change(connection: AsyncConnection, row: TaskRow, **values: object) -> None:
    """Sets columns of a task, other than its state."""
    await connection.execute(
        update(TASKS)
        .where(TASKS.c.job_sequence == row.job_sequence, TASKS.c.task_index == row.task.key.index)
        .values(**values)
    )


async def is_finished(connection: AsyncConnection, sequence: int) -> bool:
    """Whether every task of a job is complete."""
    query = select(func.count()).where(
        TASKS.c.job_sequence == sequence, TASKS.c.state != TaskState.COMPLETE.value
    )
    return (await connection.execute(query)).scalar_one() == 0


async def revoke(connection: AsyncConnection, sequence: int) -> None:
    """Takes the tasks of a job that are not complete out of their workers' hands."""
    check_task(TaskState.LEASED, TaskState.PENDING)
    is_leased = TASKS.c.state == TaskState.LEASED.value
    await connection.execute(
        update(TASKS)
        .where(TASKS.c.job_sequence == sequence, TASKS.c.state != TaskState.COMPLETE.value)
        .values(
            state=case((is_leased, TaskState.PENDING.value), else_=TASKS.c.state), worker_id=None
        )
    )


async def retry(connection: AsyncConnection, sequence: int) -> None:
    """Lets a job's tasks that are not complete begin anew, with all their attempts."""
    check_task(TaskState.FAILED, TaskState.PENDING)
    await connection.execute(
        update(TASKS)
        .where(TASKS.c.job_sequence == sequence, TASKS.c.state != TaskState.COMPLETE.value)
        .values(state=TaskState.PENDING.value, attempt_count=0)
    )


def _tasks() -> Select[tuple[object, ...]]:
    is_its_training = and_(
        TRAININGS.c.job_sequence == TASKS.c.job_sequence,
        TRAININGS.c.task_index == TASKS.c.task_index,
    )
    return (
        select(
            *TASKS.c,
            JOBS.c.name.label("job_name"),
            JOBS.c.state.label("job_state"),
            JOBS.c.spec,
            TRAININGS.c.stage.label("training_stage"),
        )
        .join(JOBS, TASKS.c.job_sequence == JOBS.c.sequence)
        .outerjoin(TRAININGS, is_its_training)
    )


def _task(row: RowMapping) -> TaskRow:
    return TaskRow(
        task=LeasedTask(
            key=TaskKey(row["job_name"], row["task_index"]),
            kind=TaskKind(row["kind"]),
            span=FrameSpan(row["start_frame"], row["stop_frame"]),
            fencing_token=row["fencing_token"],
            attempt_count=row["attempt_count"],
            source_label_set=row["source_label_set"],
            result_label_set=row["result_label_set"],
            spec=row["spec"],
            training_stage=row["training_stage"],
        ),
        state=TaskState(row["state"]),
        worker_id=row["worker_id"],
        job_sequence=row["job_sequence"],
        job_state=JobState(row["job_state"]),
    )

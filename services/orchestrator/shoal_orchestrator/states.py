"""Where jobs and tasks may stand, and where they may go from there; nothing else decides it."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

from shoal_core.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ShoalError,
)


class JobState(Enum):
    """State of a job, as `shoal.jobs.v1.JobState`."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job does nothing more by itself."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class TaskState(Enum):
    """State of a task."""

    PENDING = "pending"
    LEASED = "leased"
    COMPLETE = "complete"
    FAILED = "failed"


State = TypeVar("State", JobState, TaskState)

JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.PENDING: frozenset({JobState.RUNNING, JobState.CANCELLED}),
        JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset({JobState.PENDING}),
        JobState.CANCELLED: frozenset({JobState.PENDING}),
    }
)
"""From each state of a job to those that may follow."""

TASK_TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = MappingProxyType(
    {
        TaskState.PENDING: frozenset({TaskState.LEASED}),
        TaskState.LEASED: frozenset({TaskState.PENDING, TaskState.COMPLETE, TaskState.FAILED}),
        TaskState.COMPLETE: frozenset(),
        TaskState.FAILED: frozenset({TaskState.PENDING}),
    }
)
"""From each state of a task to those that may follow."""


class IllegalTransition(RuntimeError):
    """A bug: something tried to move a job or a task where it may not go."""


def check_job(before: JobState, after: JobState) -> JobState:
    """Returns `after` if a job may go there.

    Raises:
        IllegalTransition: It may not.
    """
    return _checked(JOB_TRANSITIONS[before], before, after)


def check_task(before: TaskState, after: TaskState) -> TaskState:
    """Returns `after` if a task may go there.

    Raises:
        IllegalTransition: It may not.
    """
    return _checked(TASK_TRANSITIONS[before], before, after)


def is_permanent(error: ShoalError) -> bool:
    """Whether trying again cannot cure a task's error."""
    return isinstance(
        error, InvalidArgument | NotFound | OutOfRange | PermissionDenied | FailedPrecondition
    )


def _checked(allowed: frozenset[State], before: State, after: State) -> State:
    if after not in allowed:
        raise IllegalTransition(f"{type(before).__name__}: {before.value} to {after.value}")
    return after

"""Jobs and tasks move only where the contract lets them."""

import itertools

import pytest

from shoal_core import errors
from shoal_orchestrator.states import (
    IllegalTransition,
    JobState,
    TaskState,
    check_job,
    check_task,
    is_permanent,
)

JOB_MOVES = {
    (JobState.PENDING, JobState.RUNNING),
    (JobState.PENDING, JobState.CANCELLED),
    (JobState.RUNNING, JobState.SUCCEEDED),
    (JobState.RUNNING, JobState.FAILED),
    (JobState.RUNNING, JobState.CANCELLED),
    (JobState.FAILED, JobState.PENDING),
    (JobState.CANCELLED, JobState.PENDING),
}
TASK_MOVES = {
    (TaskState.PENDING, TaskState.LEASED),
    (TaskState.LEASED, TaskState.PENDING),
    (TaskState.LEASED, TaskState.COMPLETE),
    (TaskState.LEASED, TaskState.FAILED),
    (TaskState.FAILED, TaskState.PENDING),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobState, JobState)))
def test_job_moves_only_as_its_proto_says(before: JobState, after: JobState) -> None:
    if (before, after) in JOB_MOVES:
        assert check_job(before, after) is after
    else:
        with pytest.raises(IllegalTransition):
            check_job(before, after)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(TaskState, TaskState)))
def test_task_moves_only_through_a_lease(before: TaskState, after: TaskState) -> None:
    if (before, after) in TASK_MOVES:
        assert check_task(before, after) is after
    else:
        with pytest.raises(IllegalTransition):
            check_task(before, after)


def test_succeeded_is_the_only_job_state_without_a_way_out() -> None:
    assert {state for state in JobState if not any(a is state for a, _ in JOB_MOVES)} == {
        JobState.SUCCEEDED
    }


@pytest.mark.parametrize(
    "error_type",
    [errors.ShoalError, *errors.ShoalError.__subclasses__()],
)
def test_permanent_errors_are_those_of_the_proto(error_type: type[errors.ShoalError]) -> None:
    named = {
        errors.InvalidArgument,
        errors.NotFound,
        errors.OutOfRange,
        errors.PermissionDenied,
        errors.FailedPrecondition,
    }
    assert is_permanent(error_type("REASON", "Message.")) == (error_type in named)

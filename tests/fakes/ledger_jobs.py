"""Jobs for tests of the ledger, and what must hold of every ledger at any time."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from shoal_orchestrator.planning import cut_segments, track_tasks
from shoal_orchestrator.records import (
    FrameSpan,
    JobKind,
    NewJob,
    NewTask,
    TaskKey,
    TaskKind,
)
from shoal_orchestrator.states import JOB_TRANSITIONS, JobState

SEGMENT_FRAME_COUNT = 10


def new_job(name: str = "fly", *, segment_count: int = 2, linked: bool = True) -> NewJob:
    """Returns a job with so many segments, and linking behind them."""
    frame_count = segment_count * SEGMENT_FRAME_COUNT
    result = f"projects/lab/labelSets/{name}"
    return NewJob(
        name=f"projects/lab/jobs/{name}",
        project="lab",
        spec=b"spec of " + name.encode(),
        total_frame_count=frame_count,
        result_label_set=result,
        tasks=track_tasks(
            cut_segments([range(frame_count)], SEGMENT_FRAME_COUNT, [0]),
            poses_label_set=f"{result}-poses" if linked else result,
            linked_label_set=result if linked else None,
        ),
    )


def new_training_job(
    name: str = "fly", *, stages: tuple[str, ...] = ("centroid", "centered_instance")
) -> NewJob:
    """Returns a job that trains so many networks."""
    return NewJob(
        name=f"projects/lab/jobs/{name}",
        project="lab",
        spec=b"spec of " + name.encode(),
        total_frame_count=0,
        result_label_set="",
        tasks=tuple(
            NewTask(TaskKind.TRAIN, 0, FrameSpan(0, 0), "", training_stage=stage)
            for stage in stages
        ),
        kind=JobKind.TRAIN,
    )


@dataclass(frozen=True)
class StoredTask:
    """A task as it is on the disk."""

    state: str
    stage: int
    fencing_token: int
    attempt_count: int
    done_frame_count: int
    instance_count: int


@dataclass(frozen=True)
class Stored:
    """Everything on the disk."""

    jobs: dict[str, JobState]
    tasks: dict[TaskKey, StoredTask]

    def of_job(self, job: str) -> list[StoredTask]:
        """Returns the tasks of a job in order."""
        return [task for key, task in sorted(self.tasks.items(), key=_order) if key.job == job]


def _order(item: tuple[TaskKey, StoredTask]) -> tuple[str, int]:
    return item[0].job, item[0].index


def stored(path: Path) -> Stored:
    """Reads a ledger behind its back."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        jobs = connection.execute("SELECT name, state FROM jobs").fetchall()
        tasks = connection.execute(
            "SELECT name, task_index, tasks.state, stage, fencing_token, attempt_count, "
            "done_frame_count, instance_count FROM tasks JOIN jobs ON job_sequence = sequence"
        ).fetchall()
    finally:
        connection.close()
    return Stored(
        jobs={name: JobState(state) for name, state in jobs},
        tasks={TaskKey(name, index): StoredTask(*rest) for name, index, *rest in tasks},
    )


def check_consistent(ledger: Stored) -> None:
    """Asserts what must hold of a ledger by itself."""
    for name, state in ledger.jobs.items():
        tasks = ledger.of_job(name)
        assert tasks, name
        all_complete = all(task.state == "complete" for task in tasks)
        assert (state is JobState.SUCCEEDED) == all_complete
        for task in tasks:
            assert task.state != "leased" or state is JobState.RUNNING
            assert task.state != "failed" or state is JobState.FAILED
            earlier = [other for other in tasks if other.stage < task.stage]
            if task.state in ("leased", "complete"):
                assert all(other.state == "complete" for other in earlier)
                assert task.fencing_token > 0


def check_step(before: Stored, after: Stored) -> None:
    """Asserts what must hold between a ledger and the same one after one transaction."""
    for name, state in before.jobs.items():
        assert after.jobs[name] is state or after.jobs[name] in JOB_TRANSITIONS[state]
    for key, task in before.tasks.items():
        later = after.tasks[key]
        assert later.fencing_token >= task.fencing_token
        if task.state == "complete":
            assert later == task

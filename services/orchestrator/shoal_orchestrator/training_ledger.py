"""What the ledger keeps of training: each method is one transaction, done or not done."""

from collections.abc import Sequence

from shoal_core.errors import FailedPrecondition, NotFound
from shoal_orchestrator import artifact_rows, job_rows, task_rows, training_rows
from shoal_orchestrator.clock import Clock
from shoal_orchestrator.ledger import Ledger, held
from shoal_orchestrator.records import Job, JobKind, TaskKey
from shoal_orchestrator.states import TaskState
from shoal_orchestrator.training_records import (
    Artifact,
    Control,
    Event,
    NewEvent,
    Training,
)


class TrainingLedger:
    """Progress, events, wishes and files of training jobs, in the database of a `Ledger`."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def report(self, key: TaskKey, token: int, reported: Sequence[NewEvent]) -> None:
        """Keeps what a worker tells, each event once.

        An epoch that was not reached before gives the task its attempts back: training that
        gets on is never given up for the number of its trainers that died.

        Raises:
            Aborted: LEASE_LOST.
        """
        async with self._ledger.write() as connection:
            row = await held(connection, key, token)
            at = (row.job_sequence, key.index)
            last = await training_rows.last_report_number(connection, *at, token)
            new = [event for event in reported if event.report_number > last]
            now_us = self._clock.utc_us()
            await training_rows.add_events(connection, *at, token, new, now_us=now_us)
            for event in new:
                if event.metrics is not None:
                    await training_rows.change(connection, *at, metrics=event.metrics)
            epochs = [event for event in new if event.epoch is not None]
            if not epochs:
                return
            await training_rows.change(connection, *at, last_epoch=epochs[-1].last_epoch)
            highest = max(event.epoch for event in epochs if event.epoch is not None)
            if highest > (await training_rows.get(connection, *at))["highest_epoch"]:
                await training_rows.change(connection, *at, highest_epoch=highest)
                await task_rows.change(connection, row, attempt_count=0)

    async def control(self, key: TaskKey, token: int) -> Control:
        """Returns what the trainer of a leased task is to be told."""
        async with self._ledger.read() as connection:
            row = await held(connection, key, token)
            training = await training_rows.get(connection, row.job_sequence, key.index)
        is_of_lease = training["learning_rate_token"] == token
        return Control(
            stop_requested=training["stop_requested"],
            learning_rate=training["learning_rate"] if is_of_lease else None,
            learning_rate_change=training["learning_rate_change"],
        )

    async def stop(self, name: str, stage: str) -> Job:
        """Notes that stages that have begun are to finish; `stage` "" means all of these.

        Raises:
            NotFound: JOB_NOT_FOUND or STAGE_NOT_FOUND.
            FailedPrecondition: TRAINING_NOT_RUNNING.
        """
        async with self._ledger.write() as connection:
            job = await job_rows.get(connection, name)
            for index in _running(job, stage, has_begun=True):
                await training_rows.change(connection, job.sequence, index, stop_requested=True)
            return await job_rows.get(connection, name)

    async def set_learning_rate(self, name: str, stage: str, learning_rate: float) -> Job:
        """Notes a learning rate for stages that are leased; `stage` "" means all of these.

        Raises:
            NotFound: JOB_NOT_FOUND or STAGE_NOT_FOUND.
            FailedPrecondition: TRAINING_NOT_RUNNING.
        """
        async with self._ledger.write() as connection:
            job = await job_rows.get(connection, name)
            for index in _running(job, stage, has_begun=False):
                row = await training_rows.get(connection, job.sequence, index)
                await training_rows.change(
                    connection,
                    job.sequence,
                    index,
                    learning_rate=learning_rate,
                    learning_rate_token=job.trainings[index].attempt,
                    learning_rate_change=row["learning_rate_change"] + 1,
                )
            return job

    async def events(self, name: str, *, since: int, limit: int) -> list[Event]:
        """Returns a job's events after number `since`, in their order."""
        async with self._ledger.read() as connection:
            job = await job_rows.get(connection, name)
            return await training_rows.events(connection, job.sequence, since=since, limit=limit)

    async def check_held(self, key: TaskKey, token: int) -> str:
        """Returns the stage of the task that a worker holds.

        Raises:
            Aborted: LEASE_LOST, also for a task that trains nothing.
        """
        async with self._ledger.read() as connection:
            row = await held(connection, key, token)
            return await training_rows.stage(connection, row.job_sequence, key.index)

    async def put_artifact(
        self, key: TaskKey, token: int, artifact: Artifact, event: bytes
    ) -> str | None:
        """Makes a file visible and notes the event.

        Returns:
            SHA-256 of bytes that the job has no file of any more; None if there are none.

        Raises:
            Aborted: LEASE_LOST.
        """
        async with self._ledger.write() as connection:
            row = await held(connection, key, token)
            before = await artifact_rows.find(connection, row.job_sequence, artifact.path)
            await artifact_rows.put(connection, row.job_sequence, artifact)
            await training_rows.add_events(
                connection,
                row.job_sequence,
                key.index,
                token,
                [event],
                now_us=artifact.update_time_us,
            )
            if before is None or await artifact_rows.is_used(
                connection, row.job_sequence, before.sha256
            ):
                return None
            return before.sha256

    async def artifact(self, name: str, path: str) -> Artifact:
        """Returns a file of a job.

        Raises:
            NotFound: JOB_NOT_FOUND or ARTIFACT_NOT_FOUND.
        """
        async with self._ledger.read() as connection:
            job = await job_rows.get(connection, name)
            artifact = await artifact_rows.find(connection, job.sequence, path)
        if artifact is None:
            raise NotFound(
                "ARTIFACT_NOT_FOUND",
                f"{name} has no file {path}; list its artifacts to see what there is.",
                job=name,
                path=path,
            )
        return artifact

    async def artifacts(self, name: str, *, prefix: str, after: str, limit: int) -> list[Artifact]:
        """Returns files of a job by path, ascending, those behind `after`."""
        async with self._ledger.read() as connection:
            job = await job_rows.get(connection, name)
            return await artifact_rows.page(
                connection, job.sequence, prefix=prefix, after=after, limit=limit
            )

    async def used_artifacts(self) -> set[tuple[str, str]]:
        """Returns (name of the job, SHA-256) of every file."""
        async with self._ledger.read() as connection:
            return await artifact_rows.all_used(connection)


def _running(job: Job, stage: str, *, has_begun: bool) -> list[int]:
    """Returns the indices of the stages meant: leased ones, or those leased at least once."""
    if job.kind is not JobKind.TRAIN or (stage and stage not in {t.stage for t in job.trainings}):
        stages = ", ".join(training.stage for training in job.trainings) or "none"
        raise NotFound(
            "STAGE_NOT_FOUND",
            f"{job.name} has no stage {stage!r} to train; it has {stages}.",
            job=job.name,
            stage=stage,
        )
    running = [
        index
        for index, training in enumerate(job.trainings)
        if stage in ("", training.stage) and not job.state.ended and _runs(training, has_begun)
    ]
    if not running:
        raise FailedPrecondition(
            "TRAINING_NOT_RUNNING",
            f"No trainer of {stage or job.name} is running; the job is {job.state.value}.",
            job=job.name,
            stage=stage,
        )
    return running


def _runs(training: Training, has_begun: bool) -> bool:
    is_waiting_again = has_begun and training.state is TaskState.PENDING and training.attempt > 0
    return training.state is TaskState.LEASED or is_waiting_again

"""kill -9 in the middle of an epoch: the job goes on from its last checkpoint and ends."""

import asyncio
import json
import os
import select
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from shoal.jobs.v1 import jobs_pb2, training_pb2
from shoal_common.channel import open_channel
from tests.contract.training.conftest import Client, Ensemble, call

SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED


def command_of(module: str, config: Any, *names: str) -> list[str]:
    """Returns what runs a service with some values of a configuration."""
    values = {name: getattr(config, name) for name in names}
    texts = {
        name: json.dumps(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
    arguments = [part for name, text in texts.items() for part in ("--set", f"{name}={text}")]
    return [sys.executable, "-m", module, *arguments]


@asynccontextmanager
async def process(command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs a service until it is killed."""
    running = await asyncio.create_subprocess_exec(*command)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def killable_worker(ensemble: Ensemble, **settings: Any) -> Any:
    names = ("listen", "orchestrator_target", "labels_target", "serving_target", "allowed_roots")
    names += ("worker_id", "runs_folder", "trainer_command", "artifact_interval_seconds")
    return process(command_of("shoal_worker", ensemble.worker_config(**settings), *names))


def orchestrator_command(ensemble: Ensemble) -> list[str]:
    names = ("listen", "home", "decode_target", "serving_target", "labels_target", "lease_seconds")
    return command_of("shoal_orchestrator", ensemble.orchestrator_config, *names)


def holds_with_checkpoint(job: jobs_pb2.Job) -> bool:
    (progress,) = job.training_progress
    return progress.last.epoch == 2 and progress.last_epoch.epoch == 1


async def uploads(client: Client, job: str, path: str) -> AsyncIterator[bytes]:
    """Yields a file whenever it was uploaded."""
    async for response in client.watch(job):
        for event in response.events:
            if event.artifact.path == path:
                yield await client.download(job, path)


async def until_kept(client: Client, job: str, epoch: int) -> None:
    """Returns once the checkpoint after so many epochs was uploaded."""
    async with aclosing(uploads(client, job, "centroid/checkpoints/last.pt")) as checkpoints:
        async for checkpoint in checkpoints:
            if json.loads(checkpoint)["epoch"] == epoch:
                return


async def finish(client: Client, job: str) -> tuple[jobs_pb2.Job, list[training_pb2.JobEvent]]:
    """Lets the trainer go on that holds, and returns how the job ended."""
    await call(client.jobs.StopTraining, jobs_pb2.StopTrainingRequest(name=job))
    return await client.until_ended(job)


def check_undisturbed(model: bytes) -> None:
    assert json.loads(model)["weight"] == pytest.approx(1 + 1 / 2 + 1 / 3)


def is_gone(pid_descriptor: int) -> bool:
    """Waits for the end of a process that is not ours."""
    readable, _, _ = select.select([pid_descriptor], [], [], 30)
    os.close(pid_descriptor)
    return bool(readable)


async def test_worker_killed_in_an_epoch(ensemble: Ensemble, client: Client) -> None:
    job = await client.create(epochs=1000, hold_at=2)
    async with killable_worker(ensemble) as worker:
        await client.until(job.name, holds_with_checkpoint)
        await until_kept(client, job.name, 2)
        async with aclosing(uploads(client, job.name, "centroid/pid")) as pids:
            trainer = os.pidfd_open(int(await anext(pids)))
        worker.kill()
        await worker.wait()
        assert await asyncio.to_thread(is_gone, trainer)
    async with ensemble.worker():
        await client.until(
            job.name,
            lambda job: job.training_progress[0].attempt == 2 and holds_with_checkpoint(job),
        )
        ended, events = await finish(client, job.name)
    assert ended.state == SUCCEEDED
    assert [event.begun.resumes for event in events if event.HasField("begun")] == [False, True]
    check_undisturbed(await client.download(job.name, "centroid/model/shoal_model.json"))


async def test_orchestrator_killed_in_an_epoch(ensemble: Ensemble) -> None:
    target = ensemble.orchestrator_config.listen
    async with open_channel(target) as channel, ensemble.worker():
        client = Client(channel, ensemble.folder)
        async with process(orchestrator_command(ensemble)) as orchestrator:
            await channel.channel_ready()
            job = await client.create(epochs=1000, hold_at=2)
            await client.until(job.name, holds_with_checkpoint)
            orchestrator.kill()
            await orchestrator.wait()
        async with ensemble.orchestrator() as client:
            await client.until(job.name, holds_with_checkpoint)
            ended, events = await finish(client, job.name)
            model = await client.download(job.name, "centroid/model/shoal_model.json")
    assert ended.state == SUCCEEDED
    assert ended.training_progress[0].attempt == 1  # the trainer noticed nothing
    assert [e.epoch_ended.epoch for e in events if e.HasField("epoch_ended")] == [0, 1, 2]
    check_undisturbed(model)

"""The orchestrator's process: killed, ended, started twice."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shoal.jobs.v1 import jobs_pb2
from shoal_common.channel import open_channel
from shoal_core.errors import Unavailable
from tests.contract.orchestrator.conftest import Client, Ensemble


async def start(ensemble: Ensemble, **settings: object) -> asyncio.subprocess.Process:
    config = ensemble.config
    values = {
        "listen": config.listen,
        "home": config.home,
        "decode_target": config.decode_target,
        "serving_target": config.serving_target,
        "segment_frame_count": config.segment_frame_count,
    } | settings
    arguments = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shoal_orchestrator", "--lifeline", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(
    ensemble: Ensemble,
) -> AsyncIterator[tuple[Client, asyncio.subprocess.Process]]:
    process = await start(ensemble)
    try:
        async with open_channel(ensemble.config.listen) as channel:
            await channel.channel_ready()
            yield Client(channel, asyncio.Event()), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_killed_orchestrator_goes_on_where_it_was(ensemble: Ensemble) -> None:
    async with running(ensemble) as (client, process):
        job = await client.create()
        await client.complete(await client.must_lease(), 45, 90)
        task = await client.must_lease()
        await client.renew(task, 5)
        process.kill()
    async with running(ensemble) as (client, process):
        resumed = await client.create()
        assert resumed.name == job.name
        assert resumed.state == jobs_pb2.JOB_STATE_RUNNING
        assert resumed.progress.committed_frame_count == 45
        await client.renew(task, 6)
        await client.complete(task, 55, 110)
        assert (await client.get(job.name)).state == jobs_pb2.JOB_STATE_SUCCEEDED


async def test_process_ends_with_its_parent_and_tells_who_watches(ensemble: Ensemble) -> None:
    async with running(ensemble) as (client, process):
        job = await client.create()
        watching = client.watch(job.name)
        await anext(watching)
        assert process.stdin is not None
        process.stdin.close()
        with pytest.raises(Unavailable) as caught:
            await anext(watching)
        assert caught.value.reason == "SERVER_STOPPING"
        assert await process.wait() == 0


async def test_second_orchestrator_on_the_same_state_refuses_in_one_line(
    ensemble: Ensemble,
) -> None:
    async with running(ensemble):
        second = await start(ensemble, listen=f"unix:{ensemble.folder}/o2")
        _, stderr = await second.communicate()
    assert second.returncode == 2
    (line,) = stderr.decode().splitlines()
    assert "Another process holds" in line

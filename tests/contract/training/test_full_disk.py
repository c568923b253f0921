"""The orchestrator's disk is full while a file comes: it is told, and nothing of it is left."""

from collections.abc import AsyncIterator

import pytest

from shoal.jobs.v1 import jobs_pb2
from shoal_common.channel import open_channel
from shoal_core.errors import ResourceExhausted
from tests.contract.training.conftest import Client, Ensemble, job_of
from tests.contract.training.test_artifacts import header, upload
from tests.contract.training.test_kills import orchestrator_command, process
from tests.fakes.small_disk import on_small_disk

DISK_KIB = 4096
MIB = bytes(1 << 20)


@pytest.fixture
async def full_client(ensemble: Ensemble) -> AsyncIterator[Client]:
    """Asks an orchestrator whose home is a small disk."""
    config = ensemble.orchestrator_config
    config.home.mkdir()
    command = on_small_disk(config.home, DISK_KIB, orchestrator_command(ensemble))
    async with open_channel(config.listen) as channel, process(command):
        await channel.channel_ready()
        yield Client(channel, ensemble.folder)


async def put(
    client: Client, task: jobs_pb2.Task, path: str, data: bytes, chunk_bytes: int
) -> None:
    starts = range(0, len(data), chunk_bytes)
    chunks = (jobs_pb2.UploadArtifactRequest(chunk=data[i : i + chunk_bytes]) for i in starts)
    await upload(client, [header(task, data, path=path), *chunks])


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 5000])
async def test_a_file_that_finds_no_room_leaves_none_taken(
    full_client: Client, chunk_bytes: int
) -> None:
    await full_client.create()
    task = await full_client.lease()
    await put(full_client, task, "kept", MIB, chunk_bytes)
    for _ in range(2):  # what the first one took is free again
        with pytest.raises(ResourceExhausted) as caught:
            await put(full_client, task, "large", MIB * 5, chunk_bytes)
        assert caught.value.reason == "DISK_FULL"
    await put(full_client, task, "fits", MIB, chunk_bytes)
    assert await full_client.paths(job_of(task)) == ["centroid/fits", "centroid/kept"]
    assert await full_client.download(job_of(task), "centroid/kept") == MIB

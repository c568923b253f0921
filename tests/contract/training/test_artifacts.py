"""Files of jobs: whole or not there, and only from whoever holds the task."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from shoal.jobs.v1 import jobs_pb2
from shoal_common.status import typed_errors
from shoal_core.errors import Aborted, DataLoss, InvalidArgument, NotFound
from tests.contract.training.conftest import CALL_SECONDS, Client, Ensemble, call, job_of


@pytest.fixture
async def task(client: Client) -> jobs_pb2.Task:
    await client.create()
    return await client.lease()


def header(task: jobs_pb2.Task, data: bytes, **fields: Any) -> jobs_pb2.UploadArtifactRequest:
    values = {
        "task": task.name,
        "fencing_token": task.fencing_token,
        "path": "checkpoints/last.pt",
        "byte_count": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return jobs_pb2.UploadArtifactRequest(header=jobs_pb2.ArtifactHeader(**values | fields))


async def upload(client: Client, requests: Iterable[jobs_pb2.UploadArtifactRequest]) -> Any:
    async def messages() -> AsyncIterator[jobs_pb2.UploadArtifactRequest]:
        for request in requests:
            yield request

    with typed_errors("orchestrator"):
        return await client.queue.UploadArtifact(messages(), timeout=CALL_SECONDS)


async def put(client: Client, task: jobs_pb2.Task, data: bytes, **fields: Any) -> None:
    chunk = jobs_pb2.UploadArtifactRequest(chunk=data)
    await upload(client, [header(task, data, **fields), chunk])


async def test_a_file_is_replaced_as_a_whole(
    ensemble: Ensemble, client: Client, task: jobs_pb2.Task
) -> None:
    for data in (b"one", b"three" * 500_000):
        await put(client, task, data)
        assert await client.download(job_of(task), "centroid/checkpoints/last.pt") == data
    kept = [path for path in (ensemble.folder / "home/jobs/artifacts").rglob("*") if path.is_file()]
    assert len(kept) == 1


@pytest.mark.parametrize("sent", [b"thre", b"three!", b"THREE"])
async def test_bytes_that_differ_from_what_was_said_change_nothing(
    client: Client, task: jobs_pb2.Task, sent: bytes
) -> None:
    await put(client, task, b"one")
    requests = [header(task, b"three"), jobs_pb2.UploadArtifactRequest(chunk=sent)]
    with pytest.raises(InvalidArgument) as caught:
        await upload(client, requests)
    assert caught.value.reason == "ARTIFACT_DIFFERS"
    assert await client.download(job_of(task), "centroid/checkpoints/last.pt") == b"one"


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../last.pt", "a/../../b", "a//b", "a/./b", "a\\b", "é", "a" * 256]
)
async def test_paths_cannot_leave_the_job(client: Client, task: jobs_pb2.Task, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await put(client, task, b"one", path=path)
    assert caught.value.reason == "PATH_INVALID"


async def test_a_file_that_is_too_large_is_refused_before_it_comes(
    client: Client, task: jobs_pb2.Task
) -> None:
    with pytest.raises(InvalidArgument):
        await upload(client, [header(task, b"", byte_count=(4 << 30) + 1)])


async def test_who_lost_the_lease_uploads_nothing(client: Client, task: jobs_pb2.Task) -> None:
    await call(client.jobs.CancelJob, jobs_pb2.CancelJobRequest(name=job_of(task)))
    with pytest.raises(Aborted) as caught:
        await put(client, task, b"one")
    assert caught.value.reason == "LEASE_LOST"
    assert not await client.paths(job_of(task))


async def test_the_header_comes_first(client: Client, task: jobs_pb2.Task) -> None:
    for requests in ([], [jobs_pb2.UploadArtifactRequest(chunk=b"one")]):
        with pytest.raises(InvalidArgument) as caught:
            await upload(client, requests)
        assert caught.value.reason == "HEADER_EXPECTED_FIRST"


async def test_a_file_that_is_not_there_is_told(client: Client, task: jobs_pb2.Task) -> None:
    with pytest.raises(NotFound) as caught:
        await client.download(job_of(task), "centroid/model/network.onnx")
    assert caught.value.reason == "ARTIFACT_NOT_FOUND"


async def test_a_file_that_has_lost_its_end_is_told(
    ensemble: Ensemble, client: Client, task: jobs_pb2.Task
) -> None:
    await put(client, task, b"three")
    (stored,) = (ensemble.folder / "home/jobs/artifacts/lab").glob("*/*")
    stored.write_bytes(b"thr")
    with pytest.raises(DataLoss) as caught:
        await client.download(job_of(task), "centroid/checkpoints/last.pt")
    assert caught.value.reason == "ARTIFACT_DAMAGED"


async def test_half_uploaded_files_are_gone_after_a_restart(ensemble: Ensemble) -> None:
    async with ensemble.orchestrator() as client:
        await client.create()
        task = await client.lease()
        await put(client, task, b"one")
    folder = next((ensemble.folder / "home/jobs/artifacts/lab").iterdir())
    (folder / "0123.partial").write_bytes(b"tw")
    (folder / ("a" * 64)).write_bytes(b"whole but never named")
    async with ensemble.orchestrator() as client:
        assert [path.name for path in folder.iterdir()] == [hashlib.sha256(b"one").hexdigest()]
        assert await client.download(job_of(task), "centroid/checkpoints/last.pt") == b"one"


async def test_lists_have_pages_and_prefixes(client: Client, task: jobs_pb2.Task) -> None:
    for name in ("b/2", "a_1", "b/1", "axx", "c"):
        await put(client, task, name.encode(), path=name)
    listed: list[str] = []
    request = jobs_pb2.ListArtifactsRequest(parent=job_of(task), page_size=2)
    while True:
        response = await call(client.jobs.ListArtifacts, request)
        listed += [artifact.path for artifact in response.artifacts]
        request.page_token = response.next_page_token
        if not request.page_token:
            break
    assert listed == ["centroid/a_1", "centroid/axx", "centroid/b/1", "centroid/b/2", "centroid/c"]
    request = jobs_pb2.ListArtifactsRequest(parent=job_of(task), prefix="centroid/a_")
    response = await call(client.jobs.ListArtifacts, request)
    assert [artifact.path for artifact in response.artifacts] == ["centroid/a_1"]

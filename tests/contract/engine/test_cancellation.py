"""Work that nobody waits for any more is not done: told by the engine's own statistics."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from pytest_asyncio import fixture as async_fixture

from shoal_common import deadlines
from shoal_common.inference.client import InferenceClient
from shoal_common.inference.priority import Priority
from shoal_core.errors import DeadlineExceeded
from tests.fakes import onnx_models
from tests.fakes.engine_process import running_engine

DAYS = np.array([2**40], np.int64)
"""So many turns of a loop that nobody waits for them."""
ONCE = np.array([1], np.int64)
STREAMS = 2
SECONDS = 60.0  # only a bug lets anything wait so long


@async_fixture
async def target(tmp_path: Path) -> AsyncIterator[str]:
    """An engine process with two streams, and `busy`."""
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    with running_engine(target, tmp_path / "models", f"max_concurrent_requests={STREAMS}"):
        with triton.InferenceServerClient(target) as client:
            client.load_model("busy")
        yield target


@async_fixture
async def client(target: str) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(target)
    yield client
    await client.aclose()


@dataclass(frozen=True)
class Counts:
    """What an engine's statistics say."""

    succeeded: int
    failed: int
    computed: int


def counts(target: str) -> Counts:
    with triton.InferenceServerClient(target) as client:
        (model,) = client.get_inference_statistics("busy").model_stats
    statistics = model.inference_stats
    return Counts(statistics.success.count, statistics.fail.count, model.inference_count)


def ask(client: InferenceClient, trips: np.ndarray, timeout_s: float = SECONDS, **kind: Priority):
    return asyncio.create_task(
        client.infer("busy", "1", {"trips": trips}, timeout_s=timeout_s, **kind)
    )


async def until_arrived(client: InferenceClient) -> None:
    """Returns when what was asked is with the engine: calls of one channel arrive in order."""
    for _ in range(20):  # so that the tasks have begun their calls
        await asyncio.sleep(0)
    assert await client.model_ready("busy", "1")


async def answered(client: InferenceClient, count: int) -> None:
    """Returns when so many quick requests have been answered: no stream is taken for ever."""
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*(ask(client, ONCE) for _ in range(count)))
    assert [answer["y"].tolist() for answer in answers] == [[1]] * count


@pytest.mark.parametrize("priority", list(Priority))
async def test_requests_of_a_caller_that_has_gone_end_whether_running_or_waiting(
    target: str, client: InferenceClient, priority: Priority
) -> None:
    async with asyncio.timeout(SECONDS):
        # A call that is cancelled on its way is not counted, hence the loop.
        while counts(target).failed < 4 * STREAMS:
            asked = [ask(client, DAYS, priority=priority) for _ in range(4 * STREAMS)]
            await until_arrived(client)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
    await answered(client, STREAMS)
    assert (counts(target).succeeded, counts(target).computed) == (STREAMS, STREAMS)


async def test_deadline_of_the_caller_ends_what_is_done_for_it(
    target: str, client: InferenceClient
) -> None:
    async with asyncio.timeout(SECONDS):
        while counts(target).failed < STREAMS:
            with deadlines.within(0.2), pytest.raises(DeadlineExceeded):
                await ask(client, DAYS)
    await answered(client, STREAMS)
    assert (counts(target).succeeded, counts(target).computed) == (STREAMS, STREAMS)


async def test_waiting_requests_of_others_are_done_when_the_running_ones_are_cancelled(
    target: str, client: InferenceClient
) -> None:
    in_the_way = [ask(client, DAYS) for _ in range(STREAMS)]
    await until_arrived(client)
    waiting = asyncio.create_task(answered(client, 5))
    await until_arrived(client)
    for task in in_the_way:
        task.cancel()
    await waiting
    assert (counts(target).succeeded, counts(target).computed) == (5, 5)


async def test_client_that_dies_with_a_full_stream_of_requests_leaves_no_work(
    target: str, client: InferenceClient
) -> None:
    given = triton.InferInput("trips", [1], "INT64")
    given.set_data_from_numpy(DAYS)
    with triton.InferenceServerClient(target) as other:
        other.start_stream(lambda result, error: None)
        for _ in range(10):
            other.async_stream_infer("busy", [given])
        assert other.is_server_live()
        other.stop_stream(cancel_requests=True)
    # A stream ends before or after it has been read, so how many there were is not known.
    await answered(client, 4)

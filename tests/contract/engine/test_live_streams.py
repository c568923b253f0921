"""Live requests, which go over streams that stay open."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from pytest_asyncio import fixture as async_fixture

from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.priority import Priority
from shoal_common.shm import FrameRing
from shoal_core.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable
from tests.fakes import onnx_models
from tests.fakes.engine_process import running_engine

SHAPE = (6, 5, 1)
DAYS = np.array([2**40], np.int64)
"""So many turns of a loop that nobody waits for them."""
SECONDS = 60.0  # only a bug lets anything wait so long


@async_fixture
async def client(engine) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(engine.target)
    yield client
    await client.aclose()


async def brightness(client: InferenceClient, images) -> np.ndarray:
    outputs = await client.infer(
        "brightness", "1", {"images": images}, timeout_s=SECONDS, priority=Priority.LIVE
    )
    return outputs["instance_scores"][:, 0]


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8)


def sums(batch: np.ndarray) -> np.ndarray:
    return batch.sum(axis=(1, 2, 3))


async def test_requests_at_once_get_their_own_answers(client: InferenceClient) -> None:
    batches = [images(1 + seed % 3, seed) for seed in range(40)]
    answers = await asyncio.gather(*(brightness(client, batch) for batch in batches))
    for answer, batch in zip(answers, batches, strict=True):
        np.testing.assert_array_equal(answer, sums(batch))


async def test_frames_in_a_ring_are_read_there(client: InferenceClient) -> None:
    ring = FrameRing.create(2, 30)
    slots = ring.acquire(2)
    ring.view(slots, SHAPE)[:] = images(2)
    shared = SharedFrames(ring, slots, (2, *SHAPE))
    np.testing.assert_array_equal(await brightness(client, shared), sums(images(2)))
    await client.forget(ring)
    ring.close()


async def test_errors_keep_their_type_and_streams_go_on(client: InferenceClient) -> None:
    for _ in range(3):
        with pytest.raises(InvalidArgument, match="'images' is FP32"):
            await brightness(client, np.zeros((1, *SHAPE), np.float32))
        with pytest.raises(NotFound, match="'nothing'"):
            await client.infer("nothing", "", {}, timeout_s=SECONDS, priority=Priority.LIVE)
        np.testing.assert_array_equal(await brightness(client, images(1)), sums(images(1)))


@async_fixture
async def busy(tmp_path: Path) -> AsyncIterator[tuple[str, InferenceClient]]:
    """An engine with one stream of frames, and `busy`; a drain would last for ever."""
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    settings = ("max_concurrent_requests=1", f"drain_seconds={SECONDS}")
    with running_engine(target, tmp_path / "models", *settings):
        client = InferenceClient(target)
        await client.load_model("busy")
        yield target, client
    # That the engine has ended in time, although a stream was open, is checked there.
    await client.aclose()


def turns(client: InferenceClient, trips: np.ndarray, timeout_s: float = SECONDS):
    return client.infer("busy", "1", {"trips": trips}, timeout_s=timeout_s, priority=Priority.LIVE)


def failed(target: str) -> int:
    with triton.InferenceServerClient(target) as client:
        (model,) = client.get_inference_statistics("busy").model_stats
    return int(model.inference_stats.fail.count)


async def test_what_nobody_waits_for_is_stopped(busy: tuple[str, InferenceClient]) -> None:
    target, client = busy
    asking = asyncio.create_task(turns(client, DAYS))
    await asyncio.sleep(0.2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(DeadlineExceeded):
        await turns(client, DAYS, timeout_s=0.2)
    # The only stream of frames is free again.
    assert (await turns(client, np.array([3], np.int64)))["y"].tolist() == [3]
    assert failed(target) == 2


async def test_an_engine_that_is_killed_is_unavailable_and_then_back(tmp_path: Path) -> None:
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    client = InferenceClient(target)
    few = np.array([3], np.int64)
    with running_engine(target, tmp_path / "models") as process:
        await client.load_model("busy")
        await turns(client, few)
        asking = asyncio.create_task(turns(client, DAYS))
        await asyncio.sleep(0.2)
        process.kill()
        with pytest.raises(Unavailable):
            await asking
        with pytest.raises(Unavailable):
            await turns(client, few)
    with running_engine(target, tmp_path / "models", "models_at_start=[busy]"):
        async with asyncio.timeout(SECONDS):
            await client.channel.channel_ready()
        assert (await turns(client, few))["y"].tolist() == [3]
    await client.aclose()

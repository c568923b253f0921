"""Laws of the Open Inference client: frames in shared memory, and errors by type."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from pytest_asyncio import fixture as async_fixture

from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.shm import FrameRing
from shoal_core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ShoalError,
    Unavailable,
)
from tests.fakes.pose_engine import FakePoseEngine, points_px

SHAPE = (6, 8, 1)


@async_fixture
async def client(engine: FakePoseEngine) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(engine.target)
    yield client
    await client.aclose()


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    ring = FrameRing.create(8, int(np.prod(SHAPE)))
    yield ring
    ring.close()


def random_frames(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8)


def shared(ring: FrameRing, frames_BHWC: np.ndarray) -> SharedFrames:
    slots = ring.acquire(len(frames_BHWC))
    ring.view(slots, SHAPE)[:] = frames_BHWC
    return SharedFrames(ring, slots, (len(frames_BHWC), *SHAPE))


async def infer(client: InferenceClient, images: np.ndarray | SharedFrames) -> np.ndarray:
    outputs = await client.infer("fly", "1", {"images": images}, timeout_s=20)
    return outputs["instance_peaks"]


async def test_shared_and_inline_frames_give_the_same_answer(
    client: InferenceClient, engine: FakePoseEngine, ring: FrameRing
) -> None:
    frames = random_frames(3)
    inline = await infer(client, frames)
    in_ring = await infer(client, shared(ring, frames))
    np.testing.assert_array_equal(inline, in_ring)
    np.testing.assert_array_equal(inline[0][: len(points_px(frames[0]))], points_px(frames[0]))
    assert engine.transports == {"inline": 1, "shared": 1}


async def test_slots_in_the_middle_of_the_ring_are_the_ones_that_are_read(
    client: InferenceClient, ring: FrameRing
) -> None:
    frames = random_frames(4)
    first, second = shared(ring, frames[:3]), shared(ring, frames[3:])
    np.testing.assert_array_equal(await infer(client, second), await infer(client, frames[3:]))
    np.testing.assert_array_equal(await infer(client, first), await infer(client, frames[:3]))


async def test_first_requests_of_a_ring_do_not_race_for_its_registration(
    client: InferenceClient, engine: FakePoseEngine, ring: FrameRing
) -> None:
    batches = [shared(ring, random_frames(1, seed)) for seed in range(6)]
    await asyncio.gather(*(infer(client, batch) for batch in batches))
    assert engine.transports == {"shared": 6}


async def test_ring_is_registered_again_with_an_engine_that_has_restarted(
    client: InferenceClient, engine: FakePoseEngine, ring: FrameRing
) -> None:
    batches = [shared(ring, random_frames(1, seed)) for seed in range(4)]
    before = await asyncio.gather(*(infer(client, batch) for batch in batches))
    engine.registered.clear()
    after = await asyncio.gather(*(infer(client, batch) for batch in batches))
    np.testing.assert_array_equal(before, after)
    assert list(engine.registered) == [ring.name]


async def test_ring_that_the_engine_knows_already_is_used(
    client: InferenceClient, engine: FakePoseEngine, ring: FrameRing
) -> None:
    other = InferenceClient(engine.target)
    batch = shared(ring, random_frames(1))
    np.testing.assert_array_equal(await infer(other, batch), await infer(client, batch))
    await other.aclose()


async def test_frames_travel_inline_to_an_engine_that_shares_no_memory(
    client: InferenceClient, engine: FakePoseEngine, ring: FrameRing
) -> None:
    engine.has_shared_memory = False
    frames = random_frames(3)
    for _ in range(2):
        np.testing.assert_array_equal(
            await infer(client, shared(ring, frames)), await infer(client, frames)
        )
    assert engine.transports == {"inline": 4}


async def test_forgotten_ring_is_gone_from_the_engine(
    client: InferenceClient, engine: FakePoseEngine, ring: FrameRing
) -> None:
    await infer(client, shared(ring, random_frames(1)))
    assert list(engine.registered) == [ring.name]
    await client.forget(ring)
    await client.forget(ring)
    assert not engine.registered


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Unavailable("QUEUE_FULL", "64 requests are waiting."), (ResourceExhausted, "ENGINE_BUSY")),
        (NotFound("MODEL_NOT_FOUND", "No model fly."), (NotFound, "MODEL_NOT_FOUND")),
        (InvalidArgument("INPUT_MISSING", "No images."), (InvalidArgument, "INPUT_MISSING")),
    ],
)
async def test_errors_keep_type_and_reason(
    client: InferenceClient,
    engine: FakePoseEngine,
    said: ShoalError,
    expected: tuple[type[ShoalError], str],
) -> None:
    engine.failures.append(said)
    with pytest.raises(expected[0]) as caught:
        await infer(client, random_frames(1))
    assert caught.value.reason == expected[1]


async def test_slow_engine_is_a_deadline_and_a_missing_one_unavailable(
    client: InferenceClient, engine: FakePoseEngine
) -> None:
    engine.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await client.infer("fly", "1", {"images": random_frames(1)}, timeout_s=0.05)
    await engine.stop()
    with pytest.raises(Unavailable):
        await infer(client, random_frames(1))


async def test_answers_may_be_read_but_not_written(client: InferenceClient) -> None:
    assert not (await infer(client, random_frames(1))).flags.writeable


def test_frames_of_another_size_than_the_slots_are_refused(ring: FrameRing) -> None:
    with pytest.raises(InvalidArgument, match="does not fill a slot"):
        _ = SharedFrames(ring, ring.acquire(1), (1, 2, 2, 1)).pixels_BHWC


def test_rings_of_these_tests_leave_nothing_behind(ring: FrameRing) -> None:
    ring.close()
    assert ring.name.lstrip("/") not in os.listdir("/dev/shm")

"""Shoal's own client and deployments, against the real engine."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shoal.serving.v1 import serving_pb2_grpc
from shoal_common.config import ServerConfig
from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.deployment import Deployment
from shoal_common.server import ServerBuilder
from shoal_common.shm import FrameRing
from shoal_core.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from tests.fakes import onnx_models
from tests.fakes.engine_process import running_engine
from tests.fakes.running import running
from tests.fakes.serving import FakeServing

SHAPE = (6, 5, 1)
NAME = "models/brightness"


@pytest.fixture
async def client(engine) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(engine.target)
    yield client
    await client.aclose()


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    ring = FrameRing.create(8, 30)
    yield ring
    ring.close()


def frames(ring: FrameRing, count: int, seed: int = 0) -> tuple[SharedFrames, np.ndarray]:
    """Random frames in the ring, and the sum of pixels of each."""
    slots = ring.acquire(count, timeout_s=10)
    view = ring.view(slots, SHAPE)
    view[:] = np.random.default_rng(seed).integers(0, 256, view.shape, np.uint8)
    return SharedFrames(ring, slots, (count, *SHAPE)), view.sum(axis=(1, 2, 3))


async def brightness(client: InferenceClient, images) -> np.ndarray:
    outputs = await client.infer("brightness", "1", {"images": images}, timeout_s=30)
    return outputs["instance_scores"][:, 0]


async def test_frames_in_a_ring_and_inline_frames_give_the_same(
    client: InferenceClient, ring: FrameRing
) -> None:
    shared, sums = frames(ring, 5)
    np.testing.assert_array_equal(await brightness(client, shared), sums)
    inline = ring.view(shared.slots, SHAPE).copy()
    np.testing.assert_array_equal(await brightness(client, inline), sums)
    await client.forget(ring)


async def test_first_requests_at_the_same_time_register_their_ring_once(
    client: InferenceClient, ring: FrameRing
) -> None:
    batches = [frames(ring, 2, seed) for seed in range(4)]
    answers = await asyncio.gather(*(brightness(client, shared) for shared, _ in batches))
    for answer, (_, sums) in zip(answers, batches, strict=True):
        np.testing.assert_array_equal(answer, sums)
    await client.forget(ring)


async def test_two_clients_of_one_engine_share_a_ring(
    client: InferenceClient, engine, ring: FrameRing
) -> None:
    other = InferenceClient(engine.target)
    shared, sums = frames(ring, 1)
    for each in (client, other):
        np.testing.assert_array_equal(await brightness(each, shared), sums)
    await client.forget(ring)
    np.testing.assert_array_equal(await brightness(other, shared), sums)
    await other.forget(ring)
    await other.aclose()


async def test_the_contract_comes_with_the_model(client: InferenceClient) -> None:
    contract = await client.contract("brightness", "1")
    assert contract == onnx_models.contract(peak_threshold=0.375)
    with pytest.raises(NotFound, match="carries no pose contract"):
        await client.contract("plus", "")


async def test_what_the_engine_says_keeps_its_type(client: InferenceClient) -> None:
    assert not await client.model_ready("nothing", "")
    with pytest.raises(NotFound, match="'nothing'"):
        await client.infer("nothing", "", {}, timeout_s=10)
    with pytest.raises(InvalidArgument, match="'images' is FP32"):
        await brightness(client, np.zeros((1, *SHAPE), np.float32))


async def test_a_full_queue_is_told_apart_from_an_engine_that_is_away(tmp_path: Path) -> None:
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    client = InferenceClient(target)
    trips = {"trips": np.array([200_000], np.int64)}
    settings = ("max_concurrent_requests=1", "max_queued_requests=0")
    with running_engine(target, tmp_path / "models", *settings):
        await client.load_model("busy")
        answers = await asyncio.gather(
            *(client.infer("busy", "1", trips, timeout_s=30) for _ in range(10)),
            return_exceptions=True,
        )
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    assert 0 < len(errors) < 10
    assert all(isinstance(e, ResourceExhausted) and e.reason == "ENGINE_BUSY" for e in errors)
    with pytest.raises(Unavailable):
        await client.infer("busy", "1", trips, timeout_s=30)
    await client.aclose()


@dataclass(frozen=True)
class Serving:
    fake: FakeServing
    deployment: Deployment


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """A control plane that has deployed nothing yet, and somebody who asks it for NAME."""
    target = f"unix:{tmp_path}/serving.sock"
    fake = FakeServing()
    builder = ServerBuilder(ServerConfig(listen=target, drain_seconds=0)).add(
        serving_pb2_grpc.add_ServingServiceServicer_to_server,
        fake,
        "shoal.serving.v1.ServingService",
    )
    async with running(builder, target) as service:
        deployment = Deployment(service.channel, NAME)
        yield Serving(fake, deployment)
        await deployment.aclose()


def images() -> dict[str, np.ndarray]:
    return {"images": np.ones((1, *SHAPE), np.uint8)}


async def test_a_deployment_leads_to_engine_and_contract(serving: Serving, engine) -> None:
    contract = onnx_models.contract()
    await serving.fake.deploy(NAME, engine.target, "brightness", contract)
    assert (await serving.deployment.current()).contract == contract
    given, outputs = await serving.deployment.infer(images())
    assert given == contract
    assert outputs["instance_scores"] == [[30]]
    assert serving.fake.watch_count == 1


async def test_a_model_that_was_missing_is_found_once_it_is_there(serving: Serving, engine) -> None:
    with pytest.raises(NotFound) as caught:
        await serving.deployment.current()
    assert caught.value.reason == "MODEL_NOT_FOUND"
    await serving.fake.deploy(NAME, engine.target, "brightness", onnx_models.contract())
    assert (await serving.deployment.current()).model == "brightness"


async def test_a_moved_deployment_is_followed(serving: Serving, engine) -> None:
    await serving.fake.deploy(NAME, "unix:/nowhere", "brightness", onnx_models.contract())
    await serving.deployment.current()
    waiting = asyncio.create_task(serving.deployment.infer(images()))
    await serving.fake.deploy(NAME, engine.target, "brightness", onnx_models.contract())
    _, outputs = await waiting
    assert outputs["instance_scores"] == [[30]]


async def test_the_last_place_holds_while_serving_is_away(serving: Serving, engine) -> None:
    await serving.fake.deploy(NAME, engine.target, "brightness", onnx_models.contract())
    await serving.deployment.current()
    await serving.fake.set_away(True)
    _, outputs = await serving.deployment.infer(images())
    assert outputs["instance_scores"] == [[30]]


async def test_an_engine_that_comes_back_reads_the_same_ring(
    serving: Serving, tmp_path: Path, ring: FrameRing
) -> None:
    onnx_models.write_brightness(tmp_path / "models", "brightness", 1)
    target = f"unix:{tmp_path}/engine.sock"
    await serving.fake.deploy(NAME, target, "brightness", onnx_models.contract())
    shared, sums = frames(ring, 3)
    control = InferenceClient(target)
    for _ in range(2):
        with running_engine(target, tmp_path / "models"):
            waiting = asyncio.create_task(serving.deployment.infer({"images": shared}))
            while not await control.model_ready("brightness", "1"):
                await control.load_model("brightness")
            _, outputs = await waiting
            np.testing.assert_array_equal(outputs["instance_scores"][:, 0], sums)
    await control.aclose()


async def test_a_wrong_input_is_not_sent_again(serving: Serving, engine) -> None:
    await serving.fake.deploy(NAME, engine.target, "brightness", onnx_models.contract())
    with pytest.raises(InvalidArgument):
        await serving.deployment.infer({"images": np.ones(3, np.uint8)})

"""Serving and the real Triton: the same poses, errors and promises as with the embedded engine."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from pytest_asyncio import fixture as async_fixture

from shoal.serving.v1 import serving_pb2 as pb
from shoal.serving.v1 import serving_pb2_grpc as pb_grpc
from shoal_common import deadlines
from shoal_common.convert import tensor
from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.deployment import Deployment
from shoal_common.inference.priority import Priority
from shoal_common.shm import FrameRing
from shoal_common.status import from_rpc_error
from shoal_core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ShoalError,
)
from shoal_engine.graph import Stopper, Threads
from shoal_engine.models import Model
from shoal_media.readers import open_video
from shoal_serving.__main__ import build
from shoal_serving.config import ServingConfig
from tests.fakes.engine_process import free_address
from tests.fakes.running import RunningService, running
from tests.processes import wait_until_alive

ENVIRONMENT = Path(__file__).resolve().parents[3] / ".venv-triton"
BOTTOM_UP = ("minimal_instance.UNet.bottomup",)
TOP_DOWN = ("minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance")
SECONDS = 60.0  # only a bug lets anything wait so long

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ENVIRONMENT / ".ready").is_file(),
        reason="Triton is not installed; `make setup-triton` does",
    ),
]


@dataclass
class Ensemble:
    """Serving with Triton."""

    service: RunningService
    stub: Any
    triton: InferenceClient
    target: str
    process: "subprocess.Popen[bytes]"
    home: Path

    async def import_(self, name: str, *folders: Path) -> None:
        request = pb.ImportModelRequest(model_id=name, source_uris=list(map(str, folders)))
        await self.stub.ImportModel(request)

    async def deployed(self, name: str) -> pb.WatchDeploymentResponse:
        call = self.stub.WatchDeployment(pb.WatchDeploymentRequest(name=f"models/{name}"))
        response = await call.read()
        call.cancel()
        return response

    def expected(self, name: str, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the embedded engine's chain finds."""
        folder = self.home / "models" / "repository" / name / "1"
        model = Model.load(folder, name, 1, threads=Threads(1, 1), processor="")
        names = [spec.name for spec in model.outputs]
        parts = [
            model.run({"images": image[None]}, names, wide=False, stopper=Stopper())
            for image in images
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _started(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=subprocess.PIPE)


@async_fixture
async def ensemble(tmp_path: Path, shared_data: Path) -> AsyncIterator[Ensemble]:
    home, target = tmp_path / "home", free_address()
    settings = {
        "listen": target,
        "model_repository": home / "models" / "triton",
        "environment": ENVIRONMENT,
        "drain_seconds": 1,
    }
    command = [sys.executable, "-m", "shoal_triton", "--lifeline"]
    command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    config = ServingConfig(
        listen=f"unix:{tmp_path}/s",
        home=home,
        engine_target=target,
        allowed_roots=(str(shared_data),),
        engine="triton",
        triton_instance_count=1,
    )
    async with AsyncExitStack() as stack:
        process = stack.enter_context(await asyncio.to_thread(_started, command))
        stack.callback(process.kill)
        await asyncio.to_thread(wait_until_alive, process, target)
        service = await stack.enter_async_context(running(await build(config), config.listen))
        client = InferenceClient(target)
        stack.push_async_callback(client.aclose)
        stub = pb_grpc.ServingServiceStub(service.channel)
        yield Ensemble(service, stub, client, target, process, home)
        if process.poll() is None:
            assert process.stdin is not None
            process.stdin.close()  # the lifeline
            assert await asyncio.to_thread(process.wait, SECONDS) == 0


@pytest.fixture
def images(shared_data: Path) -> np.ndarray:
    with open_video(shared_data / "pair" / "centered_pair_small.mp4") as reader:
        return np.stack([reader.read(100 * index) for index in range(3)])


@pytest.mark.parametrize("models", [BOTTOM_UP, TOP_DOWN], ids=["bottom-up", "top-down"])
async def test_it_finds_what_the_embedded_engine_finds_bit_for_bit(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray, models: tuple[str, ...]
) -> None:
    await ensemble.import_("m", *(shared_data / "models" / model for model in models))
    where = await ensemble.deployed("m")
    assert (where.engine_target, where.engine_model) == (ensemble.target, "m@1")
    ring = FrameRing.create(slot_count=4, slot_bytes=images[0].nbytes)
    try:
        slots = ring.acquire(len(images))
        shared = SharedFrames(ring, slots, images.shape)  # type: ignore[arg-type]
        shared.pixels_BHWC[:] = images
        expected = ensemble.expected("m", images)
        for frames in (images, shared):
            found = await ensemble.triton.infer(
                where.engine_model, where.engine_version, {"images": frames}, timeout_s=SECONDS
            )
            assert set(found) == set(expected)
            for name, array in expected.items():
                np.testing.assert_array_equal(found[name], array, err_msg=name)
        await ensemble.triton.forget(ring)
    finally:
        ring.close()


async def test_nvidias_own_stream_client_is_answered_in_order(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    await ensemble.deployed("m")
    expected = ensemble.expected("m", images)["peaks"]
    answers: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with triton.InferenceServerClient(ensemble.target) as client:
        client.start_stream(
            lambda result, error: loop.call_soon_threadsafe(answers.put_nowait, result or error)
        )
        for image in images:
            given = triton.InferInput("images", [1, *image.shape], "UINT8")
            given.set_data_from_numpy(image[None])
            client.async_stream_infer("m@1", [given])
        for peaks in expected:
            answer = await asyncio.wait_for(answers.get(), SECONDS)
            np.testing.assert_array_equal(answer.as_numpy("peaks")[0], peaks)
        client.stop_stream()


async def test_what_does_not_fit_is_an_invalid_argument(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    await ensemble.deployed("m")
    two_channels = np.repeat(images, 2, axis=3)
    cases: list[dict[str, Any]] = [
        {},
        {"images": images[..., 0]},
        {"images": images.astype(np.float32)},
        {"images": two_channels},
        {"images": images, "unknown": np.zeros((3, 1), np.float32)},
        {"images": images, "peak_threshold": np.zeros((2, 1), np.float32)},
    ]
    for inputs in cases:
        with pytest.raises(InvalidArgument):
            await ensemble.triton.infer("m@1", "1", inputs, timeout_s=SECONDS)
    with pytest.raises(NotFound):
        await ensemble.triton.infer("nobody@1", "1", {"images": images}, timeout_s=SECONDS)


async def test_a_full_queue_says_when_to_ask_again_and_live_requests_go_first(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    await ensemble.deployed("m")
    ended: list[Priority] = []

    async def ask(priority: Priority) -> None:
        await ensemble.triton.infer(
            "m@1", "1", {"images": images}, timeout_s=SECONDS, priority=priority
        )
        ended.append(priority)

    batch = [asyncio.create_task(ask(Priority.BATCH)) for _ in range(100)]
    refused = 0
    while not refused:
        await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)
        refused = sum(task.done() and task.exception() is not None for task in batch)
    before = len(ended)
    await ask(Priority.LIVE)
    overtaken = ended.index(Priority.LIVE) - before
    assert overtaken < len(batch) - refused - before
    results = await asyncio.gather(*batch, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert errors
    assert {type(error) for error in errors} == {ResourceExhausted}
    assert {error.reason for error in errors if isinstance(error, ShoalError)} == {"ENGINE_BUSY"}


async def test_a_request_that_nobody_waits_for_ends(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    await ensemble.deployed("m")
    few = images[:2]
    before = computed_ns(ensemble.target)
    await ensemble.triton.infer("m@1", "1", {"images": few}, timeout_s=SECONDS)
    frame_ns = (computed_ns(ensemble.target) - before) / len(few)
    many = np.repeat(images, 20, axis=0)
    before = computed_ns(ensemble.target)
    with deadlines.within(frame_ns * 3e-9), pytest.raises(DeadlineExceeded):
        await ensemble.triton.infer("m@1", "1", {"images": many}, timeout_s=SECONDS)
    # The instance is one process: it answers this when it has left the other.
    await ensemble.triton.infer("m@1", "1", {"images": few}, timeout_s=SECONDS)
    frames_computed = (computed_ns(ensemble.target) - before) / frame_ns
    assert frames_computed < len(many) / 2


def computed_ns(target: str) -> int:
    """What the model's processes have computed so far."""
    with triton.InferenceServerClient(target) as client:
        (statistics,) = client.get_inference_statistics("m@1").model_stats
    return int(statistics.inference_stats.compute_infer.ns)


async def test_versions_come_and_go_under_load_without_a_failed_request(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    deployment = Deployment(ensemble.service.channel, "models/m")
    is_over = asyncio.Event()
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while not is_over.is_set():
            await deployment.infer({"images": images[:1]})
            answered += 1

    asking = asyncio.create_task(ask())
    await ensemble.import_("m", *(shared_data / "models" / model for model in TOP_DOWN))
    while (await deployment.current()).model != "m@2":
        await deployment.infer({"images": images[:1]})
    is_over.set()
    await asking
    assert answered
    await deployment.aclose()
    await ensemble.stub.DeleteModel(pb.DeleteModelRequest(name="models/m"))
    assert list((ensemble.home / "models" / "triton").iterdir()) == []
    assert not await ensemble.triton.model_ready("m@2", "1")


async def test_a_model_that_triton_cannot_load_is_named(
    ensemble: Ensemble, shared_data: Path
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    body = ensemble.home / "models" / "repository" / "m" / "1" / "bottomup.onnx"
    body.write_bytes(b"broken")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ensemble.deployed("m")
    error = from_rpc_error(caught.value, "serving")
    assert error.reason == "MODEL_LOAD_FAILED"
    assert "bottomup.onnx" in error.message


async def test_tuning_says_where_it_is_done(
    ensemble: Ensemble, shared_data: Path, images: np.ndarray
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    request = pb.TuneModelRequest(name="models/m", frames=tensor(images))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ensemble.stub.TuneModel(request)
    assert from_rpc_error(caught.value, "serving").reason == "TUNING_UNSUPPORTED"


@pytest.mark.parametrize("end", [lambda process: process.kill(), lambda p: p.stdin.close()])
async def test_the_server_ends_with_its_launcher(
    ensemble: Ensemble, shared_data: Path, end: Callable[["subprocess.Popen[bytes]"], None]
) -> None:
    await ensemble.import_("m", shared_data / "models" / BOTTOM_UP[0])
    await ensemble.deployed("m")
    family = psutil.Process(ensemble.process.pid).children(recursive=True)
    assert any("tritonserver" in child.name() for child in family)
    end(ensemble.process)
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=SECONDS)
    assert alive == []

"""Laws of tuning, through the service, a real engine process and real models."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pytest_asyncio import fixture as async_fixture

from shoal.serving.v1 import serving_pb2 as pb
from shoal.serving.v1 import serving_pb2_grpc as pb_grpc
from shoal_common.convert import array, tensor
from shoal_common.inference.client import InferenceClient
from shoal_common.inference.deployment import Deployment
from shoal_common.inference.tuning import ANY_PROCESSOR, BACKENDS, Tuning
from shoal_common.status import from_rpc_error
from shoal_core.errors import InvalidArgument, ShoalError
from shoal_media.readers import open_video
from shoal_serving.__main__ import build
from shoal_serving.config import ServingConfig
from tests.fakes.engine_process import running_engine
from tests.fakes.running import running

BOTTOM_UP = ("minimal_instance.UNet.bottomup",)
TOP_DOWN = ("minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance")
NAME = "models/m"


@dataclass
class Ensemble:
    """Serving, an engine, and their folders."""

    channel: grpc.aio.Channel
    stub: Any
    engine: InferenceClient
    repository: Path
    staging: Path

    async def import_(self, *folders: Path) -> pb.ModelVersion:
        request = pb.ImportModelRequest(model_id="m", source_uris=list(map(str, folders)))
        return (await self.stub.ImportModel(request)).version

    async def tune(self, **choice: Any) -> Tuning:
        response = await self.stub.TuneModel(pb.TuneModelRequest(name=NAME, **choice))
        return Tuning.from_json(response.version.tuning_json)

    async def refusal(self, **choice: Any) -> ShoalError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.tune(**choice)
        return from_rpc_error(caught.value, "serving")

    def leftovers(self) -> list[str]:
        """What trials have left, other than the model."""
        left = [path.name for path in self.repository.iterdir() if path.name != "m"]
        return left + [path.name for path in self.staging.iterdir()]


@async_fixture
async def start(tmp_path: Path, shared_data: Path) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(unload_grace_seconds: float = 60.0) -> Ensemble:
            home = tmp_path / "home"
            target = f"unix:{tmp_path}/e"
            stack.enter_context(running_engine(target, home / "models" / "repository"))
            config = ServingConfig(
                listen=f"unix:{tmp_path}/s",
                home=home,
                engine_target=target,
                allowed_roots=(str(shared_data),),
                unload_grace_seconds=unload_grace_seconds,
            )
            builder = await build(config, poll_seconds=0.05)
            service = await stack.enter_async_context(running(builder, config.listen))
            engine = InferenceClient(target)
            stack.push_async_callback(engine.aclose)
            models = home / "models"
            stub = pb_grpc.ServingServiceStub(service.channel)
            channel = service.channel
            return Ensemble(channel, stub, engine, models / "repository", models / "staging")

        yield start


def frames(shared_data: Path, count: int = 4) -> np.ndarray:
    with open_video(shared_data / "pair" / "centered_pair_small.mp4") as reader:
        return np.stack([reader.read(100 * index) for index in range(count)])


@pytest.mark.parametrize("models", [BOTTOM_UP, TOP_DOWN], ids=["bottom-up", "top-down"])
async def test_the_fastest_backend_that_passes_is_kept_and_served(
    start: Callable[..., Any], shared_data: Path, models: tuple[str, ...]
) -> None:
    ensemble = await start()
    await ensemble.import_(*(shared_data / "models" / name for name in models))
    images = frames(shared_data)
    watch = ensemble.stub.WatchDeployment(pb.WatchDeploymentRequest(name=NAME))
    assert not (await watch.read()).version.tuning_json
    before = await ensemble.engine.infer("m", "1", {"images": images}, timeout_s=60)

    tuning = await ensemble.tune(frames=tensor(images))

    steps = list(dict.fromkeys(trial.step for trial in tuning.trials))
    assert len(steps) == len(models)
    best_ms = np.inf
    for step in steps:
        trials = {trial.backend: trial for trial in tuning.trials if trial.step == step}
        assert set(trials) == set(BACKENDS)
        kept = trials[tuning.backends[step]]
        assert not kept.refusal
        assert kept.frame_ms is not None
        assert kept.frame_ms <= best_ms
        best_ms = kept.frame_ms
        for trial in trials.values():
            if not trial.refusal:
                assert (trial.median_px or 0) <= 0.1
                assert (trial.p99_px or 0) <= 0.5
    assert tuning.processor == await ensemble.engine.processor("m", "1")
    after = await ensemble.engine.infer("m", "1", {"images": images}, timeout_s=60)
    assert set(after) == set(before)
    assert ensemble.leftovers() == []
    listed = (await ensemble.stub.ListModels(pb.ListModelsRequest())).models
    assert [model.name for model in listed] == [NAME]
    assert json.loads(listed[0].versions[0].tuning_json)["backends"] == dict(tuning.backends)
    watch.cancel()


async def test_a_pinned_backend_is_served_at_once_and_everywhere(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    images = frames(shared_data, 1)
    watch = ensemble.stub.WatchDeployment(pb.WatchDeploymentRequest(name=NAME))
    await watch.read()
    exact = await ensemble.engine.infer("m", "1", {"images": images}, timeout_s=60)
    tuning = await ensemble.tune(backend="openvino-bf16")
    assert tuning == Tuning(ANY_PROCESSOR, {"bottomup": "openvino-bf16"})
    rough = await ensemble.engine.infer("m", "1", {"images": images}, timeout_s=60)
    assert not np.array_equal(rough["peaks"], exact["peaks"], equal_nan=True)
    await ensemble.tune(backend="winograd-fp32")
    again = await ensemble.engine.infer("m", "1", {"images": images}, timeout_s=60)
    np.testing.assert_array_equal(again["peaks"], exact["peaks"])
    assert ensemble.leftovers() == []
    watch.cancel()


async def test_requests_that_run_meanwhile_are_answered(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    images = frames(shared_data, 1)
    watch = ensemble.stub.WatchDeployment(pb.WatchDeploymentRequest(name=NAME))
    await watch.read()
    answered = 0
    is_over = asyncio.Event()

    async def ask() -> None:
        nonlocal answered
        while not is_over.is_set():
            await ensemble.engine.infer("m", "1", {"images": images}, timeout_s=60)
            answered += 1

    asking = asyncio.create_task(ask())
    for backend in ("openvino-fp32", "winograd-fp32", "openvino-bf16"):
        await ensemble.tune(backend=backend)
    is_over.set()
    await asking
    assert answered
    watch.cancel()


async def test_what_cannot_be_tuned_is_named_with_the_cure(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    nothing = tensor(np.zeros((2, 64, 64, 1), np.uint8))
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({}, "TUNING_UNCLEAR", "Give frames"),
        ({"backend": "tensorrt"}, "BACKEND_UNKNOWN", "choose one of onnxruntime-fp32"),
        ({"backend": "openvino-int8"}, "INVALID_ARGUMENT", "tune it again"),
        ({"frames": nothing}, "NOTHING_TO_COMPARE", "give frames with animals"),
        ({"frames": tensor(np.zeros((2, 64, 64), np.uint8))}, "FRAMES_INVALID", "[2, 64, 64]"),
    ]
    for choice, reason, words in cases:
        error = await ensemble.refusal(**choice)
        assert words in error.message
        assert "\n" not in error.message
        if reason != "INVALID_ARGUMENT":
            assert error.reason == reason
    assert ensemble.leftovers() == []
    model = (await ensemble.stub.GetModel(pb.GetModelRequest(name=NAME))).model
    assert not model.versions[0].tuning_json


async def test_a_model_on_given_centroids_can_only_be_pinned(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    await ensemble.import_(shared_data / "models" / TOP_DOWN[1])
    error = await ensemble.refusal(frames=tensor(frames(shared_data, 1)))
    assert error.reason == "CENTROIDS_NEEDED"
    assert (await ensemble.tune(backend="openvino-fp32")).backends == {
        "centered_instance": "openvino-fp32"
    }


async def test_names_of_trials_are_not_for_models(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    request = pb.ImportModelRequest(
        model_id="shoal-trial-1", source_uris=[str(shared_data / "models" / BOTTOM_UP[0])]
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ensemble.stub.ImportModel(request)
    assert isinstance(from_rpc_error(caught.value, "serving"), InvalidArgument)


async def test_a_model_that_is_deleted_meanwhile_is_not_found(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    tuning = asyncio.create_task(ensemble.refusal(frames=tensor(frames(shared_data, 1))))
    while not list(ensemble.staging.iterdir()):
        await ensemble.stub.GetModel(pb.GetModelRequest(name=NAME))
    await ensemble.stub.DeleteModel(pb.DeleteModelRequest(name=NAME))
    assert (await tuning).reason == "MODEL_NOT_FOUND"
    assert ensemble.leftovers() == []


async def test_a_version_compared_with_itself_agrees_and_with_another_does_not(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    first = await ensemble.import_(*(shared_data / "models" / name for name in TOP_DOWN))
    second = await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    images = tensor(frames(shared_data))

    async def compare(*names: str) -> pb.CompareModelsResponse:
        return await ensemble.stub.CompareModels(
            pb.CompareModelsRequest(names=names, frames=images)
        )

    same = await compare(first.name, first.name)
    assert same.frame_count == 4
    left, right = same.models
    assert left.instance_count == right.instance_count == same.matched_instance_count > 0
    assert (left.lone_node_count, right.lone_node_count) == (0, 0)
    assert not array(same.distances_px).any()
    assert min(left.frame_ms, right.frame_ms) > 0
    other = await compare(first.name, second.name)
    assert list(other.nodes) == ["A", "B"]
    assert array(other.distances_px).max() > 0
    turned = await compare(second.name, first.name)
    assert turned.matched_instance_count == other.matched_instance_count
    assert [model.version for model in turned.models] == [second.name, first.name]
    assert [model.lone_node_count for model in turned.models] == [
        model.lone_node_count for model in reversed(other.models)
    ]
    assert ensemble.leftovers() == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await compare(first.name)
    assert from_rpc_error(caught.value, "serving").reason == "COMPARISON_UNCLEAR"


async def test_models_of_other_animals_are_not_compared(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start()
    first = await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    second = await ensemble.import_(
        shared_data / "models" / "min_tracks_2node.UNet.bottomup_multiclass"
    )
    request = pb.CompareModelsRequest(
        names=[first.name, second.name], frames=tensor(frames(shared_data, 1))
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ensemble.stub.CompareModels(request)
    error = from_rpc_error(caught.value, "serving")
    assert error.reason == "SKELETONS_DIFFER"
    assert "have no node of the same name" in error.message


async def test_an_alias_moves_back_and_forth_under_load_without_a_failed_request(
    start: Callable[..., Any], shared_data: Path
) -> None:
    ensemble = await start(unload_grace_seconds=0.0)
    first = await ensemble.import_(shared_data / "models" / BOTTOM_UP[0])
    second = await ensemble.import_(shared_data / "models" / TOP_DOWN[0])
    alias = f"{NAME}/aliases/prod"
    await ensemble.stub.SetAlias(pb.SetAliasRequest(name=alias, version=first.name))
    deployment = Deployment(ensemble.channel, alias)
    kinds: set[str] = set()
    is_over = asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            contract, _ = await deployment.infer({"images": frames(shared_data, 1)})
            kinds.add(contract.kind)

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    for version in [second, first] * 10:
        await ensemble.stub.SetAlias(pb.SetAliasRequest(name=alias, version=version.name))
        while (await deployment.current()).contract.kind != version.kind:
            await deployment.infer({"images": frames(shared_data, 1)})
    is_over.set()
    await asyncio.gather(*asking)
    assert kinds == {"bottomup", "centroid"}
    await deployment.aclose()

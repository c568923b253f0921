"""Laws of WatchDeployment, against an engine on a socket that comes, goes and refuses."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.serving.v1 import serving_pb2 as pb
from shoal_common.status import from_rpc_error
from shoal_core.errors import ShoalError
from tests.fakes.model_versions import model_folder

Start = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def import_model(serving: Any, folder: Path) -> str:
    request = pb.ImportModelRequest(model_id="flies", source_uris=[str(folder)])
    return (await serving.stub.ImportModel(request)).version.name


def watch(serving: Any, name: str = "models/flies") -> Any:
    return serving.stub.WatchDeployment(pb.WatchDeploymentRequest(name=name))


async def read_to_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def failure(call: Any) -> ShoalError:
    with pytest.raises(grpc.RpcError) as caught:
        await read_to_end(call)
    return from_rpc_error(caught.value, "serving")


async def test_a_deployment_is_named_once_it_is_loaded(start_serving: Start, data: Path) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    deployment = await watch(serving).read()
    assert deployment.engine_target == serving.engine.target
    assert deployment.engine_model == "flies"
    assert deployment.engine_version == "1"
    assert deployment.version.name == "models/flies/versions/1"
    assert serving.engine.load_counts == {"flies": 1}


async def test_watchers_share_one_load(start_serving: Start, data: Path) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    serving.engine.gate.clear()
    calls = [watch(serving) for _ in range(5)]
    reads = [asyncio.create_task(call.read()) for call in calls]
    await serving.engine.load_started.wait()
    calls[0].cancel()  # one that leaves does not end the load for the others
    serving.engine.gate.set()
    deployments = await asyncio.gather(*reads[1:])
    assert {deployment.engine_version for deployment in deployments} == {"1"}
    assert serving.engine.load_counts == {"flies": 1}


async def test_watchers_of_a_model_follow_a_new_version(start_serving: Start, data: Path) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    call = watch(serving)
    await call.read()
    await import_model(serving, model_folder(data / "m2", "other weights"))
    assert (await call.read()).engine_version == "2"


async def test_watchers_of_an_alias_follow_the_alias_only(start_serving: Start, data: Path) -> None:
    serving = await start_serving()
    alias = "models/flies/aliases/prod"
    first = await import_model(serving, model_folder(data / "m"))
    await serving.stub.SetAlias(pb.SetAliasRequest(name=alias, version=first))
    call = watch(serving, alias)
    assert (await call.read()).engine_version == "1"
    await import_model(serving, model_folder(data / "m2", "other weights"))
    third = await import_model(serving, model_folder(data / "m3", "yet other weights"))
    await serving.stub.SetAlias(pb.SetAliasRequest(name=alias, version=third))
    assert (await call.read()).engine_version == "3"
    await serving.stub.DeleteAlias(pb.DeleteAliasRequest(name=alias))
    assert (await failure(call)).reason == "ALIAS_NOT_FOUND"


async def test_an_old_version_can_be_watched_beside_the_latest(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    first = await import_model(serving, model_folder(data / "m"))
    await import_model(serving, model_folder(data / "m2", "other weights"))
    assert (await watch(serving).read()).engine_version == "2"
    assert (await watch(serving, first).read()).engine_version == "1"


async def test_an_engine_that_comes_back_is_loaded_and_announced_again(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    calls = [watch(serving), watch(serving)]
    first = [await call.read() for call in calls]
    await serving.engine.stop()
    await serving.engine.start()
    assert [await call.read() for call in calls] == first
    assert serving.engine.load_counts == {"flies": 2}


async def test_an_engine_may_come_up_after_serving(start_serving: Start, data: Path) -> None:
    serving = await start_serving()
    await serving.engine.stop()
    await import_model(serving, model_folder(data / "m"))
    read = asyncio.create_task(watch(serving).read())
    await asyncio.sleep(0)
    await serving.engine.start()
    assert (await read).engine_version == "1"


async def test_an_engine_that_stays_away_is_reported(start_serving: Start, data: Path) -> None:
    serving = await start_serving(with_engine=False)
    await import_model(serving, model_folder(data / "m"))
    error = await failure(watch(serving))
    assert error.reason == "ENGINE_UNAVAILABLE"
    assert serving.engine.target in error.message


async def test_a_model_that_the_engine_refuses_is_reported_with_its_words(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    serving.engine.refusal = "the graph has no input"
    await import_model(serving, model_folder(data / "m"))
    error = await failure(watch(serving))
    assert error.reason == "MODEL_LOAD_FAILED"
    assert "the graph has no input" in error.message


async def test_an_engine_that_dies_while_it_loads_is_no_fault_of_the_model(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    serving.engine.lossy_load_count = 1
    assert (await failure(watch(serving))).reason == "ENGINE_UNAVAILABLE"
    assert (await watch(serving).read()).engine_version == "1"


async def test_an_engine_that_hangs_while_it_loads_is_no_fault_of_the_model(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    serving.engine.refusal = "Deadline Exceeded"
    serving.engine.refusal_code = grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await failure(watch(serving))).reason == "ENGINE_UNAVAILABLE"
    serving.engine.refusal = ""
    assert (await watch(serving).read()).engine_version == "1"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("models/mice", "MODEL_NOT_FOUND"),
        ("models/flies/aliases/prod", "ALIAS_NOT_FOUND"),
        ("models/flies/versions/9", "VERSION_NOT_FOUND"),
        ("flies@prod", "NAME_INVALID"),
    ],
)
async def test_what_is_not_registered_cannot_be_watched(
    name: str, reason: str, start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    assert (await failure(watch(serving, name))).reason == reason


async def test_deleting_a_model_ends_its_watches_and_unloads_it(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    call = watch(serving)
    await call.read()
    await serving.stub.DeleteModel(pb.DeleteModelRequest(name="models/flies"))
    assert (await failure(call)).reason == "MODEL_NOT_FOUND"
    assert serving.engine.unload_counts == {"flies": 1}


async def test_a_service_that_stops_ends_its_watches_with_a_reason(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    await import_model(serving, model_folder(data / "m"))
    waiting, loaded = watch(serving), watch(serving)
    await loaded.read()
    await serving.service.stop()
    assert (await failure(loaded)).reason == "SERVING_STOPPING"
    assert (await failure(waiting)).reason == "SERVING_STOPPING"


async def two_versions(serving: Any, data: Path) -> tuple[str, str, str]:
    """Names of two versions, and of an alias at the first."""
    first = await import_model(serving, model_folder(data / "m"))
    second = await import_model(serving, model_folder(data / "m2", "other weights"))
    alias = "models/flies/aliases/prod"
    await serving.stub.SetAlias(pb.SetAliasRequest(name=alias, version=first))
    return first, second, alias


async def test_an_old_version_is_unloaded_when_its_watchers_have_moved_on(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving(unload_grace_seconds=0.0)
    first, second, alias = await two_versions(serving, data)
    moving, staying = watch(serving, alias), watch(serving, first)
    assert (await moving.read()).engine_version == "1"
    assert (await staying.read()).engine_version == "1"
    await serving.stub.SetAlias(pb.SetAliasRequest(name=alias, version=second))
    assert (await moving.read()).engine_version == "2"
    assert serving.engine.unload_counts == {}
    staying.cancel()
    await serving.engine.unloaded.wait()
    assert serving.engine.loaded == {("flies", "2")}


async def test_a_version_that_is_watched_again_within_the_grace_stays(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving(unload_grace_seconds=3600.0)
    first, second, alias = await two_versions(serving, data)
    call = watch(serving, alias)
    await call.read()
    await serving.stub.SetAlias(pb.SetAliasRequest(name=alias, version=second))
    await call.read()
    rolled_back = await serving.stub.RollBackAlias(pb.RollBackAliasRequest(name=alias))
    assert rolled_back.alias.version == first
    assert (await call.read()).engine_version == "1"
    assert serving.engine.load_counts == {"flies": 2}
    assert serving.engine.unload_counts == {}


async def test_an_alias_without_a_past_cannot_be_rolled_back(
    start_serving: Start, data: Path
) -> None:
    serving = await start_serving()
    _, _, alias = await two_versions(serving, data)
    with pytest.raises(grpc.RpcError) as caught:
        await serving.stub.RollBackAlias(pb.RollBackAliasRequest(name=alias))
    assert from_rpc_error(caught.value, "serving").reason == "NOTHING_TO_ROLL_BACK"

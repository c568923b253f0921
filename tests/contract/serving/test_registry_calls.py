"""Laws of the registry's calls, over a socket."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.serving.v1 import serving_pb2 as pb
from shoal_common.status import from_rpc_error
from tests.fakes.model_versions import CONTRACT, model_folder

Start = Callable[..., Any]


async def reason_of(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    error = from_rpc_error(caught.value, "serving")
    assert error.message
    assert "\n" not in error.message
    return error.reason


def import_request(folder: Path | str, model_id: str = "flies") -> pb.ImportModelRequest:
    return pb.ImportModelRequest(model_id=model_id, source_uris=[str(folder)])


async def test_an_imported_model_is_listed_and_described(
    start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving()
    folder = model_folder(tmp_path / "data" / "m")
    version = (await serving.stub.ImportModel(import_request(folder))).version

    assert version.name == "models/flies/versions/1"
    assert version.kind == CONTRACT.kind
    assert json.loads(version.pose_contract_json) == json.loads(CONTRACT.to_json())
    assert tuple(version.skeleton.nodes) == CONTRACT.skeleton.nodes
    assert list(version.source_uris) == [str(folder)]
    model = (await serving.stub.GetModel(pb.GetModelRequest(name="models/flies"))).model
    assert list(model.versions) == [version]
    assert list((await serving.stub.ListModels(pb.ListModelsRequest())).models) == [model]
    assert serving.leftovers() == []


async def test_the_same_files_are_imported_once_wherever_they_lie(
    start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving()
    first = await serving.stub.ImportModel(import_request(model_folder(tmp_path / "data" / "m")))
    copy = model_folder(tmp_path / "data" / "copy")
    (copy / "training.log").write_text("a log says nothing about the model")
    again = await serving.stub.ImportModel(import_request(f"file://{copy}"))
    changed = model_folder(tmp_path / "data" / "changed", "other weights")
    other = await serving.stub.ImportModel(import_request(changed))

    assert not first.already_imported
    assert again.already_imported
    assert again.version == first.version
    assert not other.already_imported
    assert other.version.name == "models/flies/versions/2"


async def test_a_registry_outlives_its_process(start_serving: Start, tmp_path: Path) -> None:
    serving = await start_serving()
    await serving.stub.ImportModel(import_request(model_folder(tmp_path / "data" / "m")))
    await serving.stub.SetAlias(
        pb.SetAliasRequest(name="models/flies/aliases/prod", version="models/flies/versions/1")
    )
    before = await serving.stub.ListModels(pb.ListModelsRequest())
    await serving.service.stop()
    await serving.engine.stop()
    serving = await start_serving()
    assert await serving.stub.ListModels(pb.ListModelsRequest()) == before


async def test_pages_hold_every_model_once(start_serving: Start, tmp_path: Path) -> None:
    serving = await start_serving()
    folder = model_folder(tmp_path / "data" / "m")
    for model_id in ("b", "a", "c"):
        await serving.stub.ImportModel(import_request(folder, model_id))
    names, token = [], ""
    while True:
        page = await serving.stub.ListModels(pb.ListModelsRequest(page_size=2, page_token=token))
        names += [model.name for model in page.models]
        token = page.next_page_token
        if not token:
            break
    assert names == ["models/a", "models/b", "models/c"]


async def test_a_deleted_model_is_gone_here_and_on_the_engine(
    start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving()
    await serving.stub.ImportModel(import_request(model_folder(tmp_path / "data" / "m")))
    await serving.stub.DeleteModel(pb.DeleteModelRequest(name="models/flies"))
    assert serving.engine.unload_counts == {"flies": 1}
    assert not (await serving.stub.ListModels(pb.ListModelsRequest())).models
    get = serving.stub.GetModel(pb.GetModelRequest(name="models/flies"))
    assert await reason_of(get) == "MODEL_NOT_FOUND"


async def test_a_model_can_be_deleted_while_no_engine_runs(
    start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving(with_engine=False)
    await serving.stub.ImportModel(import_request(model_folder(tmp_path / "data" / "m")))
    await serving.stub.DeleteModel(pb.DeleteModelRequest(name="models/flies"))
    assert not (await serving.stub.ListModels(pb.ListModelsRequest())).models


@pytest.mark.parametrize(
    ("method", "request_message", "reason"),
    [
        ("GetModel", pb.GetModelRequest(name="flies"), "NAME_INVALID"),
        ("GetModel", pb.GetModelRequest(name="models/.."), "NAME_INVALID"),
        ("GetModel", pb.GetModelRequest(name="models/mice"), "MODEL_NOT_FOUND"),
        ("DeleteModel", pb.DeleteModelRequest(name="models/mice"), "MODEL_NOT_FOUND"),
        ("DeleteModel", pb.DeleteModelRequest(name="models/.."), "NAME_INVALID"),
        ("ListModels", pb.ListModelsRequest(page_size=-1), "PAGE_SIZE_INVALID"),
        ("ListModels", pb.ListModelsRequest(page_token="é"), "PAGE_TOKEN_INVALID"),
        (
            "SetAlias",
            pb.SetAliasRequest(name="models/a/aliases/x", version="models/b/versions/1"),
            "ALIAS_OF_OTHER_MODEL",
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(name="models/mice/aliases/x", version="models/mice/versions/1"),
            "MODEL_NOT_FOUND",
        ),
        ("DeleteAlias", pb.DeleteAliasRequest(name="models/flies/aliases/x"), "ALIAS_NOT_FOUND"),
        ("ImportModel", import_request("m", model_id="../m"), "NAME_INVALID"),
        ("ImportModel", pb.ImportModelRequest(model_id="m"), "SOURCE_URIS_MISSING"),
        ("ImportModel", import_request("relative/folder"), "URI_INVALID"),
        ("ImportModel", import_request("/etc"), "PATH_OUTSIDE_ROOTS"),
    ],
)
async def test_a_request_that_cannot_work_is_refused_with_its_reason(
    method: str, request_message: Any, reason: str, start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving()
    await serving.stub.ImportModel(import_request(model_folder(tmp_path / "data" / "m")))
    assert await reason_of(getattr(serving.stub, method)(request_message)) == reason


async def test_a_link_that_leads_out_of_the_roots_is_refused(
    start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving()
    (tmp_path / "data").mkdir()
    link = tmp_path / "data" / "link"
    link.symlink_to(model_folder(tmp_path / "secret"))
    reason = await reason_of(serving.stub.ImportModel(import_request(link)))
    assert reason == "PATH_OUTSIDE_ROOTS"


@pytest.mark.parametrize(
    ("behaviour", "missing", "reason"),
    [
        ("works", "m", "MODEL_FOLDER_NOT_FOUND"),
        ("works", "m/best_model.h5", "MODEL_FILE_MISSING"),
        ("full_disk", None, "DISK_FULL"),
        ("hungry", None, "IMPORT_OUT_OF_MEMORY"),
        ("segfaults", None, "IMPORT_CRASHED"),
    ],
)
async def test_an_import_that_fails_leaves_nothing_behind(
    behaviour: str, missing: str | None, reason: str, start_serving: Start, tmp_path: Path
) -> None:
    serving = await start_serving(behaviour)
    folder = model_folder(tmp_path / "data" / "m")
    if missing:
        target = tmp_path / "data" / missing
        target.unlink() if target.is_file() else target.rename(tmp_path / "elsewhere")
    assert await reason_of(serving.stub.ImportModel(import_request(folder))) == reason
    assert serving.leftovers() == []
    assert not (await serving.stub.ListModels(pb.ListModelsRequest())).models

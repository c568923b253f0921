"""Laws of importing trained models, through the service, its child process and the importer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import h5py
import pytest

from shoal.serving.v1 import serving_pb2 as pb
from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, Chain
from shoal_common.inference.contract import PoseContract
from shoal_common.status import from_rpc_error

Start = Callable[..., Any]

CENTROID = "minimal_instance.UNet.centroid"
CENTERED = "minimal_instance.UNet.centered_instance"
MODELS = {
    "single_instance": ["minimal_robot.UNet.single_instance"],
    "centroid": [CENTROID],
    "centered_instance": [CENTERED],
    "topdown": [CENTERED, CENTROID],
    "bottomup": ["minimal_instance.UNet.bottomup"],
    "multiclass_bottomup": ["min_tracks_2node.UNet.bottomup_multiclass"],
}


def import_request(*folders: Path) -> pb.ImportModelRequest:
    return pb.ImportModelRequest(model_id="m", source_uris=list(map(str, folders)))


@pytest.mark.parametrize("kind", MODELS)
async def test_every_kind_of_model_is_imported_whole(
    kind: str, start_serving: Start, shared_data: Path
) -> None:
    folders = [shared_data / "models" / name for name in MODELS[kind]]
    serving = await start_serving("shoal", root=shared_data)
    version = (await serving.stub.ImportModel(import_request(*folders))).version

    assert version.kind == kind
    assert PoseContract.from_json(version.pose_contract_json).kind == kind
    assert list(version.source_uris) == list(map(str, folders))
    published = serving.home / "models" / "repository" / "m" / "1"
    chain = Chain.from_json((published / CHAIN_FILE).read_text())
    assert {step.file for step in chain.steps} | {COMPOSED_FILE} <= {
        path.name for path in published.iterdir()
    }
    again = await serving.stub.ImportModel(import_request(*reversed(folders)))
    assert again.already_imported
    assert again.version == version


def without_weights(folder: Path) -> None:
    (folder / "best_model.h5").unlink()


def without_config(folder: Path) -> None:
    (folder / "training_config.json").unlink()


def with_broken_config(folder: Path) -> None:
    (folder / "training_config.json").write_text("{")


def with_half_the_weights(folder: Path) -> None:
    path = folder / "best_model.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_another_models_config(folder: Path) -> None:
    config = json.loads((folder / "training_config.json").read_text())
    heads = config["model"]["heads"]["multi_instance"]
    heads["confmaps"]["part_names"] = ["one", "two", "three"]
    config["data"]["labels"]["skeletons"] = []
    (folder / "training_config.json").write_text(json.dumps(config))


def with_a_weight_beyond_all_memory(folder: Path) -> None:
    with h5py.File(folder / "best_model.h5", "r+") as file:
        kernels: list[str] = []
        file["model_weights"].visit(
            lambda name: kernels.append(name) if name.endswith("kernel:0") else None
        )
        del file["model_weights"][kernels[0]]
        file["model_weights"].create_dataset(
            kernels[0], shape=(3, 3, 1 << 20, 1 << 20), chunks=(3, 3, 64, 64), dtype="f4"
        )


@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (without_weights, {"MODEL_FILE_MISSING"}),
        (without_config, {"MODEL_FILE_MISSING"}),
        (with_broken_config, {"MODEL_CONFIG_INVALID"}),
        (with_half_the_weights, {"MODEL_FILE_DAMAGED", "MODEL_WEIGHTS_MISMATCH"}),
        (with_another_models_config, {"MODEL_WEIGHTS_MISMATCH", "MODEL_CONFIG_INVALID"}),
        (with_a_weight_beyond_all_memory, {"IMPORT_OUT_OF_MEMORY", "MODEL_WEIGHTS_MISMATCH"}),
    ],
)
async def test_a_damaged_model_folder_is_refused_in_one_line_and_leaves_nothing(
    damage: Callable[[Path], None],
    reasons: set[str],
    start_serving: Start,
    shared_data: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data" / "model"
    folder.mkdir(parents=True)
    for name in ("training_config.json", "best_model.h5"):
        shutil.copyfile(shared_data / "models" / MODELS["bottomup"][0] / name, folder / name)
    damage(folder)
    serving = await start_serving("shoal")
    with pytest.raises(grpc.RpcError) as caught:
        await serving.stub.ImportModel(import_request(folder))
    error = from_rpc_error(caught.value, "serving")
    assert error.reason in reasons
    assert "\n" not in error.message
    assert not (await serving.stub.ListModels(pb.ListModelsRequest())).models
    assert serving.leftovers() == []

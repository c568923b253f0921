"""Laws of ExportModel and of the SDK that writes what it streams."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import pytest

from shoal.serving.v1 import serving_pb2 as pb
from shoal_client.models import Models
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.outputs import poses_of
from shoal_common.inference.settings import InferenceSettings
from shoal_common.status import from_rpc_error
from shoal_core.errors import AlreadyExists, NotFound
from shoal_engine.graph import Stopper, Threads
from shoal_engine.models import Model
from shoal_media.readers import open_video

Start = Callable[..., Any]

TOP_DOWN = ("minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance")
BOTTOM_UP = ("minimal_instance.UNet.bottomup",)


async def serving_with(start_serving: Start, shared_data: Path, models: tuple[str, ...]) -> Any:
    serving = await start_serving("shoal", root=shared_data)
    folders = [str(shared_data / "models" / model) for model in models]
    await serving.stub.ImportModel(pb.ImportModelRequest(model_id="m", source_uris=folders))
    return serving


def sdk(tmp_path: Path) -> Models:
    return Models(grpc.insecure_channel(f"unix:{tmp_path}/s"), "serving")


def expected_text(version: Path, image_HWC: np.ndarray) -> list[str]:
    """What the example says of an image, made of what the engine finds."""
    model = Model.load(version, "m", 1, threads=Threads(1, 1), processor="")
    names = [spec.name for spec in model.outputs]
    found = model.run({"images": image_HWC[None]}, names, wide=False, stopper=Stopper())
    contract = PoseContract.from_json((version / "contract.json").read_text())
    if contract.family == "instances":
        (poses,) = poses_of(contract, found, [0], image_HWC.shape[:2], InferenceSettings())
        points = list(poses.points_px_IN2.swapaxes(0, 1))
    else:
        counts = found["peak_counts"][0]
        points = [of[:n] for of, n in zip(found["peaks"][0], counts, strict=True)]
    return [
        " ".join([node, *(f"({x:.2f}, {y:.2f})" for x, y in of_node)])
        for node, of_node in zip(contract.skeleton.nodes, points, strict=True)
    ]


@pytest.mark.parametrize("models", [TOP_DOWN, BOTTOM_UP], ids=["top-down", "bottom-up"])
async def test_the_example_finds_what_the_engine_finds(
    start_serving: Start, shared_data: Path, tmp_path: Path, models: tuple[str, ...]
) -> None:
    serving = await serving_with(start_serving, shared_data, models)
    await asyncio.to_thread(sdk(tmp_path).export, "models/m", tmp_path / "out" / "m")
    with open_video(shared_data / "pair" / "centered_pair_small.mp4") as reader:
        image_HWC = reader.read(300)
    cv2.imwrite(str(tmp_path / "image.png"), image_HWC)
    example = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, tmp_path / "out" / "m" / "example.py", tmp_path / "image.png"],
        capture_output=True,
        text=True,
        check=True,
    )
    version = serving.home / "models" / "repository" / "m" / "1"
    assert [line.rstrip() for line in example.stdout.splitlines()] == expected_text(
        version, image_HWC
    )
    assert serving.leftovers() == []


async def test_a_triton_repository_holds_every_file_of_the_version(
    start_serving: Start, shared_data: Path, tmp_path: Path
) -> None:
    serving = await serving_with(start_serving, shared_data, BOTTOM_UP)
    out = tmp_path / "triton"
    await asyncio.to_thread(sdk(tmp_path).export, "models/m", out, export_format="triton")
    assert 'name: "m"' in (out / "m" / "config.pbtxt").read_text()
    version = serving.home / "models" / "repository" / "m" / "1"
    for file in version.iterdir():
        assert (out / "m" / "1" / file.name).read_bytes() == file.read_bytes()
    assert (out / "m" / "1" / "model.py").is_file()


async def test_what_cannot_be_exported_leaves_nothing_behind(
    start_serving: Start, shared_data: Path, tmp_path: Path
) -> None:
    serving = await serving_with(start_serving, shared_data, BOTTOM_UP)
    models = sdk(tmp_path)
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(AlreadyExists, match="is there already; name a folder that is not"):
        await asyncio.to_thread(models.export, "models/m", there)
    with pytest.raises(NotFound):
        await asyncio.to_thread(models.export, "models/nobody", tmp_path / "new" / "x")
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await serving.stub.ExportModel(pb.ExportModelRequest(name="models/m")).read()
    assert from_rpc_error(caught.value, "serving").reason == "FORMAT_UNKNOWN"
    assert serving.leftovers() == []

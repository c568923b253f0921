"""The engine under test. Another engine that serves the same models joins as one more parameter."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from tests.fakes import onnx_models
from tests.fakes.engine_process import free_address, running_engine


@dataclass(frozen=True)
class Engine:
    """An engine that serves the test models, and where it is."""

    target: str
    repository: Path


MODELS = ("plus", "busy", "brightness", "outdated", "outdated_topdown", "topdown")


def write_models(repository: Path) -> None:
    onnx_models.write_single(repository, "plus", 1, onnx_models.plus(1))
    onnx_models.write_single(repository, "plus", 3, onnx_models.plus(3))
    onnx_models.write_single(repository, "busy", 1, onnx_models.busy())
    onnx_models.write_brightness(repository, "brightness", 1, peak_threshold=0.375)
    onnx_models.write_brightness(repository, "outdated", 1, kind="bottomup")
    onnx_models.write_brightness(repository, "outdated_topdown", 1, kind="topdown")
    onnx_models.write_brightness(
        repository,
        "topdown",
        1,
        kind="topdown",
        threshold="crop_peak_threshold",
        peak_threshold=0.375,
        crop_peak_threshold=0.125,
    )


@pytest.fixture(scope="session", params=["shoal-unix", "shoal-tcp"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    repository = folder / "models"
    write_models(repository)
    target = free_address() if request.param == "shoal-tcp" else f"unix:{folder}/engine.sock"
    with running_engine(target, repository):
        with triton.InferenceServerClient(target) as client:
            for model in MODELS:
                client.load_model(model)
        yield Engine(target, repository)


@pytest.fixture
def client(engine: Engine) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(engine.target) as client:
        yield client

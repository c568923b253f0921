"""An engine that is told which models it starts with is ready once they are warm."""

import subprocess
import sys
from pathlib import Path

import grpc
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes import onnx_models
from tests.fakes.engine_process import running_engine


def wait_until_ready(target: str) -> None:
    """Returns when health says so; fails if the engine ends before."""
    with grpc.insecure_channel(target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=60
        )
        for response in watch:
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                return
    raise AssertionError("the watch ended")


def test_the_models_of_the_start_are_loaded_when_the_engine_is_ready(tmp_path: Path) -> None:
    repository, target = tmp_path / "models", f"unix:{tmp_path}/e"
    onnx_models.write_single(repository, "plus", 1, onnx_models.plus(1))
    onnx_models.write_single(repository, "other", 1, onnx_models.plus(1))
    with running_engine(target, repository, "models_at_start=[plus]"):
        wait_until_ready(target)
        with triton.InferenceServerClient(target) as client:
            assert client.is_server_ready()
            assert client.is_model_ready("plus")
            assert not client.is_model_ready("other")


def test_an_engine_that_cannot_load_what_it_starts_with_says_so_and_ends(tmp_path: Path) -> None:
    settings = [f"listen=unix:{tmp_path}/e", f"model_repository={tmp_path}/models"]
    words = [part for key in (*settings, "models_at_start=[absent]") for part in ("--set", key)]
    done = subprocess.run(
        [sys.executable, "-m", "shoal_engine", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "shoal-engine: Model 'absent' is not in the repository."
    )

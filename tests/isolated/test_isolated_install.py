"""Each distribution, alone in its own environment, imports and starts.

Dependencies are the architecture: the tracking image holds no torch because its pyproject.toml
names none, and what a service imports without naming fails here.
"""

import subprocess
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.isolated.environments import DISTRIBUTIONS, build_wheels, installed, make_environment

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

SETTINGS = {
    "decode": [],
    "engine": ["model_repository={home}/models"],
    "serving": ["home={home}", "engine_target=unix:{home}/absent"],
    "tracking": ["serving_target=unix:{home}/absent"],
    "labels": ["home={home}"],
    "orchestrator": [
        "home={home}",
        "decode_target=unix:{home}/absent",
        "serving_target=unix:{home}/absent",
    ],
    "worker": [
        "orchestrator_target=unix:{home}/absent",
        "labels_target=unix:{home}/absent",
        "serving_target=unix:{home}/absent",
    ],
}
OWN = {"core", "media", "common", "protos"}


@pytest.fixture(scope="session")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.mark.parametrize(
    "name", [n.removeprefix("shoal_") for n in DISTRIBUTIONS.values() if n != "protos"]
)
def test_a_distribution_alone_imports_and_starts(
    name: str, constraints: Path, tmp_path: Path
) -> None:
    python = make_environment(tmp_path / "env", constraints, f"shoal-{name}")

    subprocess.run([python, "-c", IMPORT_ALL, f"shoal_{name}"], check=True, cwd=tmp_path)
    present = installed(python)
    assert "torch" not in present
    others = {f"shoal-{service}" for service in SETTINGS if service != name}
    assert not present & others
    if name in SETTINGS:
        assert_starts_and_stops(python, name, tmp_path)


def assert_starts_and_stops(python: Path, name: str, home: Path) -> None:
    target = f"unix:{home}/s"
    settings = [f"listen={target}", *(s.format(home=home) for s in SETTINGS[name])]
    process = subprocess.Popen(
        [python, "-m", f"shoal_{name}", "--lifeline"]
        + [word for setting in settings for word in ("--set", setting)],
        stdin=subprocess.PIPE,
        cwd=home,
    )
    try:
        wait_until_serving(process, target)
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def wait_until_serving(process: subprocess.Popen[bytes], target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, "the process ended before it served"
            try:
                response = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                assert time.monotonic() < deadline, "the process never served"
                time.sleep(0.05)
                continue
            assert response.status == health_pb2.HealthCheckResponse.SERVING
            return

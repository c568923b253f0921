"""Services as processes, each with an interpreter of its own choice."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SETTINGS: dict[str, list[str]] = {
    "decode": ["allowed_roots=[/]"],
    "engine": ["model_repository={home}/models/repository"],
    "serving": ["home={home}", "engine_target=unix:{sockets}/engine", "allowed_roots=[/]"],
    "tracking": ["serving_target=unix:{sockets}/serving", "allowed_roots=[/]"],
    "labels": ["home={home}", "allowed_roots=[/]"],
    "orchestrator": [
        "home={home}",
        "decode_target=unix:{sockets}/decode",
        "serving_target=unix:{sockets}/serving",
        "labels_target=unix:{sockets}/labels",
    ],
    "worker": [
        "orchestrator_target=unix:{sockets}/orchestrator",
        "labels_target=unix:{sockets}/labels",
        "serving_target=unix:{sockets}/serving",
        "allowed_roots=[/]",
    ],
}
"""Smallest configuration of each service; `sockets` is the folder where all of them listen."""


def target(sockets: Path, name: str) -> str:
    """Returns where a service listens."""
    return f"unix:{sockets}/{name}"


@contextmanager
def running_service(
    python: Path, name: str, home: Path, sockets: Path, *, listen: str = ""
) -> Iterator[int]:
    """Runs a service until the end of the block, where it must end by itself with status 0.

    It listens at `target(sockets, name)`, or at `listen`. Yields its process id.
    """
    address = listen or target(sockets, name)
    (home / "models" / "repository").mkdir(parents=True, exist_ok=True)
    settings = [
        f"listen={address}",
        *(setting.format(home=home, sockets=sockets) for setting in SETTINGS[name]),
    ]
    process = subprocess.Popen(
        [python, "-P", "-m", f"shoal_{name}", "--lifeline"]
        + [word for setting in settings for word in ("--set", setting)],
        stdin=subprocess.PIPE,
        cwd=home,
    )
    try:
        wait_until_alive(process, address)
        yield process.pid
        process.stdin.close()
        assert process.wait(timeout=30) == 0, f"{name} did not end well"
    finally:
        process.kill()
        process.wait()


def wait_until_alive(process: "subprocess.Popen[bytes]", address: str) -> None:
    """Returns when the process answers health checks, be it that it misses another one."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, "the process ended before it answered"
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                assert time.monotonic() < deadline, "the process never answered"
                time.sleep(0.05)
                continue
            return

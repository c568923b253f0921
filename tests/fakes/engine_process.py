"""The real engine as a process of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc


@contextmanager
def running_engine(target: str, repository: Path, *settings: str) -> Iterator[subprocess.Popen]:
    """Runs `python -m shoal_engine` until the block ends, and expects a clean end."""
    keys = (f"listen={target}", f"model_repository={repository}", *settings)
    command = [sys.executable, "-m", "shoal_engine", "--lifeline"]
    command += [part for key in keys for part in ("--set", key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.enable_http_proxy", 0)]
            with grpc.insecure_channel(target, options) as channel:
                grpc.channel_ready_future(channel).result(60)
            yield process
            if process.poll() is None:
                process.stdin.close()  # the lifeline
                assert process.wait(30) == 0
        finally:
            process.kill()


def free_address() -> str:
    """A TCP address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"

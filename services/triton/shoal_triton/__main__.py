"""Runs Triton until it is told to stop, or the parent has gone."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from shoal_common.config import load_config, parse_arguments
from shoal_core.errors import ShoalError
from shoal_triton.config import TritonConfig
from shoal_triton.installation import Installation

_PR_SET_PDEATHSIG = 1
_UNLOAD_SECONDS = 4.0
"""Time that the models' processes take to end once no request runs."""
_KILL_AFTER_SECONDS = 10.0
"""Time beyond the drain after which a server that does not end is killed."""


def server_command(
    installation: Installation, config: TritonConfig, backends: Path
) -> Sequence[str]:
    """Returns the command line of the server."""
    return [
        str(installation.program),
        f"--model-repository={config.model_repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        f"--grpc-address={config.host}",
        f"--grpc-port={config.port}",
        "--allow-http=false",
        "--allow-metrics=false",
        f"--exit-timeout-secs={math.ceil(config.drain_seconds + _UNLOAD_SECONDS)}",
        "--log-warning=true",
    ]


def run(config: TritonConfig, *, lifeline: bool) -> int:
    """Returns the server's exit status; 0 where it was told to stop.

    Raises:
        FailedPrecondition: TRITON_NOT_INSTALLED.
    """
    installation = Installation.find(config.environment)
    config.model_repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="shoal-triton-") as folder:
        backends = installation.make_backends(Path(folder) / "backends")
        process = subprocess.Popen(
            server_command(installation, config, backends),
            env=installation.process_environment(os.environ),
            stdin=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 -- no thread has been started yet
        )
        is_told = threading.Event()

        def stop(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
            is_told.set()
            process.terminate()
            _kill_later(process, config.drain_seconds + _KILL_AFTER_SECONDS)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        if lifeline:
            threading.Thread(target=_wait_for_parent, args=(stop,), daemon=True).start()
        status = process.wait()
        return 0 if is_told.is_set() else status


def _end_with_parent() -> None:
    """Has the kernel end the server when this process is killed: it would keep the port."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_parent(stop: Callable[[], None]) -> None:
    # Not sys.stdin: its lock, held by this thread, would abort the interpreter's shutdown.
    while os.read(0, 4096):
        pass
    stop()


def _kill_later(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()


def main() -> None:
    """Runs `python -m shoal_triton`."""
    arguments = parse_arguments("shoal-triton")
    try:
        config = load_config(TritonConfig, arguments.config, arguments.set)
        sys.exit(run(config, lifeline=arguments.lifeline))
    except ShoalError as error:
        sys.stderr.write(f"shoal-triton: {error.message}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()

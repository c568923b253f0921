"""What `shoal doctor` looks at: each check says how it is and what to do."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal_cli.ensemble import services as roles
from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.liveness import accepts
from shoal_core.errors import ShoalError

State = Literal["ok", "warning", "broken"]

_GIB = 2**30
_LEAST_FREE_BYTES = 1 * _GIB
_LEAST_SHARED_MEMORY_BYTES = 256 * 2**20
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Check:
    """The result of one look."""

    subject: str
    state: State
    found: str
    cure: str = ""
    """What to do; empty if nothing."""


def checks(home: Home) -> Iterator[Check]:
    """Yields every check of this machine, most basic first."""
    yield _versions()
    yield _services()
    yield _engine()
    yield _home(home)
    yield _disk(home)
    yield _shared_memory()
    yield _dead_regions()
    yield _ensemble(home)
    yield _ports(home)
    yield _gpu()


def _versions() -> Check:
    names = ("shoal-cli", "grpcio", "protobuf", "numpy", "onnxruntime", "sleap-io", "av")
    python = ".".join(map(str, sys.version_info[:3]))
    found = [f"{name} {version}" for name in names if (version := _version(name))]
    return Check("versions", "ok", ", ".join([f"Python {python}", *found]))


def _services() -> Check:
    missing = [name for name in roles.ALL_SERVICES if not _is_there(f"shoal_{name}")]
    if missing:
        return Check(
            "services",
            "warning",
            f"not installed: {', '.join(missing)}",
            "pip install 'shoal-cli[local]', or set SHOAL_HOST to a machine where they run",
        )
    return Check("services", "ok", "all installed")


def _engine() -> Check:
    if not _is_there("onnxruntime"):
        return Check("engine", "warning", "no ONNX Runtime", "pip install 'shoal-cli[local]'")
    try:
        import onnxruntime
    except ImportError as error:
        return Check(
            "engine", "broken", f"ONNX Runtime does not load: {error}", "reinstall onnxruntime"
        )
    providers = ", ".join(onnxruntime.get_available_providers())
    return Check("engine", "ok", f"ONNX Runtime on {os.cpu_count()} cores: {providers}")


def _home(home: Home) -> Check:
    folder = _existing(home.folder)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check(
            "SHOAL_HOME",
            "broken",
            f"{folder} cannot be written to",
            "make it writable, or set SHOAL_HOME to another folder",
        )
    return Check("SHOAL_HOME", "ok", str(home.folder))


def _disk(home: Home) -> Check:
    folder = _existing(home.folder)
    free = shutil.disk_usage(folder).free
    found = f"{free / _GIB:.1f} GiB free at {folder}"
    if free < _LEAST_FREE_BYTES:
        return Check("disk", "broken", found, "make room, or set SHOAL_HOME to another disk")
    return Check("disk", "ok", found)


def _shared_memory() -> Check:
    if not _SHARED_MEMORY.is_dir():
        return Check("shared memory", "warning", "no /dev/shm", "frames travel in messages instead")
    usage = shutil.disk_usage(_SHARED_MEMORY)
    found = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB free"
    if usage.free < _LEAST_SHARED_MEMORY_BYTES:
        return Check(
            "shared memory",
            "broken",
            found,
            "enlarge /dev/shm (docker run --shm-size 1g), or remove what fills it",
        )
    return Check("shared memory", "ok", found)


def _dead_regions() -> Check:
    from shoal_common.shm_files import open_region, owner_is_dead

    dead = []
    for path in _SHARED_MEMORY.glob("shoal-*"):
        try:
            descriptor = open_region(f"/{path.name}", os.O_RDWR)
        except ShoalError:  # gone meanwhile, or another user's
            continue
        if owner_is_dead(descriptor):
            dead.append(str(path))
        os.close(descriptor)
    if dead:
        return Check(
            "dead regions",
            "warning",
            f"{len(dead)} left by killed processes",
            f"the next start of an ensemble removes them, or rm {' '.join(dead)}",
        )
    return Check("dead regions", "ok", "none")


def _ensemble(home: Home) -> Check:
    from shoal_cli.ensemble.running import running_ensemble

    try:
        running = running_ensemble(home)
    except ShoalError as error:
        return Check("ensemble", "warning", error.message, "")
    if running is None:
        return Check("ensemble", "ok", "none running; `shoal track` starts its own")
    try:
        running.wait_until_serving()
    except ShoalError as error:
        return Check("ensemble", "broken", error.message)
    return Check("ensemble", "ok", "every service serves")


def _ports(home: Home) -> Check:
    from shoal_cli.ensemble.state import EnsembleState

    state = EnsembleState.read(home.state_file)
    ours = {service.target for service in state.services} if state else set()
    taken = [
        f"{target} ({name})"
        for name, target in roles.tcp_targets().items()
        if target not in ours and accepts(target)
    ]
    if taken:
        return Check(
            "ports",
            "warning",
            f"in use by other programs: {', '.join(taken)}",
            "shoal up --first-port PORT --engine-port PORT",
        )
    return Check("ports", "ok", "those of `shoal up` are free or its own")


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("GPU", "ok", "none (no nvidia-smi); models run on the CPU")
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return Check("GPU", "warning", "nvidia-smi does not answer", "reboot; the driver hangs")
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        return Check(
            "GPU",
            "warning",
            f"nvidia-smi fails: {said[0] if said else answer.returncode}",
            "reinstall the driver, or reboot after an update of it",
        )
    return Check("GPU", "ok", "; ".join(answer.stdout.strip().splitlines()))


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None

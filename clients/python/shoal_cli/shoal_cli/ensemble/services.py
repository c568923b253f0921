"""Which services an ensemble has and how each is configured."""

import importlib.util
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.specification import Service
from shoal_core.errors import FailedPrecondition, InvalidArgument

MODEL_SERVICES = ("engine", "serving")
"""What the commands about models need."""

JOB_SERVICES = ("engine", "serving", "worker", "orchestrator", "labels", "decode")
"""What a job needs; those that take longest to start come first."""

LEDGER_SERVICES = tuple(name for name in JOB_SERVICES if name != "worker")
"""What looking at jobs needs: nobody works on them meanwhile."""

ALL_SERVICES = (*JOB_SERVICES, "tracking")

FIRST_PORT = 7101
"""decode, serving, tracking, labels, orchestrator, worker, from here on."""

ENGINE_PORT = 8001

_DRAIN_SECONDS = 2.0
_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux


def services(
    names: Sequence[str],
    targets: Mapping[str, str],
    home: Home,
    allowed_roots: Sequence[str],
    own_settings: Mapping[str, Mapping[str, object]],
) -> tuple[Service, ...]:
    """Returns the configured services of these names.

    Args:
        names: Which.
        targets: Where each service of the ensemble listens, by name.
        home: The folder of everything durable.
        allowed_roots: Folders whose files callers may name.
        own_settings: What `config.toml` says about services; it has the last word.

    Raises:
        FailedPrecondition: SERVICE_NOT_INSTALLED.
        InvalidArgument: CONFIG_INVALID when settings are of no service, or say where it listens.
    """
    _check_installed(names)
    _check_settings(own_settings)
    roots = list(allowed_roots)
    folder = str(home.folder)
    wired: dict[str, dict[str, object]] = {
        "decode": {"allowed_roots": roots},
        "engine": {"model_repository": str(home.model_repository)},
        "serving": {
            "home": folder,
            "engine_target": targets.get("engine"),
            "allowed_roots": roots,
        },
        "labels": {"home": folder, "allowed_roots": roots},
        "orchestrator": {
            "home": folder,
            "decode_target": targets.get("decode"),
            "serving_target": targets.get("serving"),
            "labels_target": targets.get("labels"),
        },
        "worker": {
            "orchestrator_target": targets.get("orchestrator"),
            "labels_target": targets.get("labels"),
            "serving_target": targets.get("serving"),
            "allowed_roots": roots,
        },
        "tracking": {"serving_target": targets.get("serving"), "allowed_roots": roots},
    }
    return tuple(
        _service(name, targets[name], {**wired[name], **own_settings.get(name, {})})
        for name in names
    )


def on_triton(ensemble: Sequence[Service], home: Home, environment: Path) -> tuple[Service, ...]:
    """Returns the services with Triton in the engine's place.

    Args:
        ensemble: Services of `services`, on TCP ports.
        home: The folder of everything durable.
        environment: Virtual environment that Triton is installed in.

    Raises:
        FailedPrecondition: SERVICE_NOT_INSTALLED, or TRITON_NOT_INSTALLED when that is none.
    """
    _check_installed(["triton"])
    if not (environment / "bin" / "python").exists():
        raise FailedPrecondition(
            "TRITON_NOT_INSTALLED",
            f"There is no virtual environment {environment} with Triton; run `make setup-triton`, "
            "or name one with --triton-environment.",
            path=environment,
        )
    return tuple(_on_triton(service, home, environment) for service in ensemble)


def _on_triton(service: Service, home: Home, environment: Path) -> Service:
    match service.name:
        case "engine":
            own = {
                "model_repository": str(home.triton_repository),
                "environment": str(environment),
            }
            return replace(_service("triton", service.target, own), name="engine")
        case "serving":
            return replace(service, settings=(*service.settings, 'engine="triton"'))
        case _:
            return service


def _service(name: str, target: str, own: Mapping[str, object]) -> Service:
    settings = {"listen": target, "drain_seconds": _DRAIN_SECONDS, **own}
    return Service(
        name=name,
        module=f"shoal_{name}",
        target=target,
        settings=tuple(f"{key}={json.dumps(value)}" for key, value in settings.items()),
    )


def _check_settings(own_settings: Mapping[str, Mapping[str, object]]) -> None:
    for name, settings in own_settings.items():
        if name not in ALL_SERVICES or "listen" in settings:
            raise InvalidArgument(
                "CONFIG_INVALID",
                f"The settings of {name!r} are of no service, or say where it listens, which is "
                f"not theirs to say; services are {', '.join(ALL_SERVICES)}.",
                service=name,
            )


def _check_installed(names: Sequence[str]) -> None:
    for name in names:
        if importlib.util.find_spec(f"shoal_{name}") is None:
            raise FailedPrecondition(
                "SERVICE_NOT_INSTALLED",
                f"The {name} service is not installed here; run pip install 'shoal-cli[local]', "
                "or set SHOAL_HOST to a machine where an ensemble runs.",
                service=name,
            )


def socket_folder(environment: Mapping[str, str]) -> Path:
    """Returns an unused name for a private folder of Unix sockets, short enough for them."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    parent = Path("/tmp")
    if runtime and os.access(runtime, os.W_OK | os.X_OK) and len(runtime) < 60:
        parent = Path(runtime)
    return parent / f"shoal-{secrets.token_hex(6)}"


def unix_targets(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Returns a socket in `folder` for each service.

    Raises:
        FailedPrecondition: SOCKET_PATH_TOO_LONG.
    """
    paths = {name: folder / f"{name}.sock" for name in names}
    if max(len(os.fsencode(path)) for path in paths.values()) > _LONGEST_SOCKET_PATH:
        raise FailedPrecondition(
            "SOCKET_PATH_TOO_LONG",
            f"{folder} is too long for Unix sockets; unset XDG_RUNTIME_DIR.",
            path=folder,
        )
    return {name: f"unix:{path}" for name, path in paths.items()}


def tcp_targets(
    first_port: int = FIRST_PORT, engine_port: int = ENGINE_PORT, host: str = "127.0.0.1"
) -> dict[str, str]:
    """Returns the target of every service of `shoal up`."""
    order = ("decode", "serving", "tracking", "labels", "orchestrator", "worker")
    ports = {name: first_port + index for index, name in enumerate(order)}
    return {name: f"{host}:{port}" for name, port in (ports | {"engine": engine_port}).items()}

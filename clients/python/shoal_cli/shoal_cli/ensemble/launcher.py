"""Which ensemble a command talks to."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shoal_cli.ensemble import services as roles
from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.launched import LaunchedEnsemble
from shoal_cli.ensemble.liveness import accepts
from shoal_cli.ensemble.running import RemoteEnsemble, running_ensemble
from shoal_cli.ensemble.settings import read_settings
from shoal_cli.ensemble.specification import Specification
from shoal_core.errors import FailedPrecondition


class Ensemble(Protocol):
    """Services that can be called."""

    @property
    def targets(self) -> Mapping[str, str]:
        """Where each service listens, by name."""

    def wait_until_serving(self) -> None:
        """Returns when every service serves.

        Raises:
            Unavailable: SERVICE_DIED, SERVICE_SILENT or ENSEMBLE_DIED.
        """

    def check(self) -> None:
        """Returns at once if every service is alive, or about to be again, as far as can be told.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """

    def wait(self, seconds: float) -> None:
        """Returns after a time, or earlier, as `check` does.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """


@contextlib.contextmanager
def ensemble(home: Home, names: Sequence[str], command: str) -> Iterator[Ensemble]:
    """Yields an ensemble: $SHOAL_HOST's, the running one of this home, or an embedded one.

    The embedded one is started, may not serve yet when it is yielded, and is gone afterwards.

    Args:
        home: The folder of everything durable.
        names: Services that the embedded one needs.
        command: The command line, for people.

    Raises:
        FailedPrecondition: HOME_LOCKED, HOME_UNUSABLE or SERVICE_NOT_INSTALLED.
        InvalidArgument: CONFIG_INVALID.
    """
    if host := os.environ.get("SHOAL_HOST"):
        yield RemoteEnsemble(host)
        return
    require_unix()
    running = running_ensemble(home)
    if running is not None:
        yield running
        return
    folder = roles.socket_folder(os.environ)
    settings = read_settings(home)
    targets = roles.unix_targets(names, folder)
    services = roles.services(names, targets, home, ["/"], settings.services)
    home.create()
    launched = LaunchedEnsemble(
        Specification(
            mode="embedded",
            command=command,
            home=home.folder,
            socket_folder=folder,
            services=services,
            supervision=settings.supervision,
        )
    )
    try:
        yield launched
    finally:
        launched.stop()


def machine_specification(
    home: Home,
    command: str,
    first_port: int,
    engine_port: int,
    allowed_roots: Sequence[Path],
    triton: Path | None = None,
) -> Specification:
    """Returns the ensemble of `shoal up`: every service, on TCP ports of this machine.

    Args:
        home: The folder of everything durable.
        command: The command line, for people.
        first_port: Of the services, from here on.
        engine_port: Of the engine.
        allowed_roots: Folders whose files callers may name.
        triton: Virtual environment of the Triton that is the engine; None: the embedded one is.

    Raises:
        FailedPrecondition: HOME_LOCKED, PORT_IN_USE, SERVICE_NOT_INSTALLED, TRITON_NOT_INSTALLED
            or PLATFORM_UNSUPPORTED.
        InvalidArgument: CONFIG_INVALID.
    """
    require_unix()
    if running_ensemble(home) is not None:
        raise FailedPrecondition(
            "HOME_LOCKED", f"An ensemble is running on {home.folder} already; see `shoal status`."
        )
    targets = roles.tcp_targets(first_port, engine_port)
    for name, target in targets.items():
        if accepts(target):
            raise FailedPrecondition(
                "PORT_IN_USE",
                f"Another program listens at {target}, where {name} is to; end it or choose other "
                "ports with --first-port and --engine-port.",
                target=target,
            )
    settings = read_settings(home)
    roots = [str(root) for root in allowed_roots]
    services = roles.services(roles.ALL_SERVICES, targets, home, roots, settings.services)
    if triton is not None:
        services = roles.on_triton(services, home, triton)
    return Specification(
        mode="machine",
        command=command,
        home=home.folder,
        socket_folder=None,
        services=services,
        supervision=settings.supervision,
    )


def require_unix() -> None:
    """Returns where services can run.

    Raises:
        FailedPrecondition: PLATFORM_UNSUPPORTED on Windows.
    """
    if sys.platform == "win32":
        raise FailedPrecondition(
            "PLATFORM_UNSUPPORTED",
            "Services run on Linux and macOS; set SHOAL_HOST to a machine where they do.",
        )

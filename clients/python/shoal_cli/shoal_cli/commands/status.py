"""`shoal status`: what runs, and how it does."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal_cli.commands import Commands
    from shoal_cli.ensemble.state import ServiceState


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "status",
        help="say how the ensemble does",
        description="Says how each service of the ensemble does. The exit status is 1 unless all "
        "of them serve.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a line per service; returns 0 if all of them serve."""
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.launcher import require_unix
    from shoal_cli.ensemble.running import running_ensemble
    from shoal_cli.table import table_text

    require_unix()
    home = current_home()
    ensemble = running_ensemble(home)
    if ensemble is None:
        print(f"no ensemble is running on {home.folder}; `shoal up` starts one")
        return 1
    services = ensemble.state.services
    healths = [_health(service) for service in services]
    rows = [
        (
            service.name,
            service.target,
            str(service.pid),
            health,
            str(service.restart_count),
            str(home.log_file(service.name)),
        )
        for service, health in zip(services, healths, strict=True)
    ]
    print(table_text(("SERVICE", "TARGET", "PID", "STATE", "RESTARTS", "LOG"), rows))
    return 0 if all(health == "serving" for health in healths) else 1


def _health(service: "ServiceState") -> str:
    from shoal_cli.ensemble.liveness import end_text

    if service.given_up:
        return f"{end_text(service)}, given up"
    if service.exit_status is not None:
        return f"{end_text(service)}, starting again"
    from shoal_client import check_health

    return check_health(service.target, timeout_s=3.0).value

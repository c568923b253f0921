"""Whether services live and serve, and the errors where they do not."""

import socket

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.state import ServiceState
from shoal_core.errors import Unavailable


def died(state: ServiceState, home: Home, cure: str = "") -> Unavailable:
    """Returns the error of a service that has ended and is not started again."""
    often = f", after {state.restart_count} restarts" if state.restart_count else ""
    return Unavailable(
        "SERVICE_DIED",
        f"The {state.name} service {end_text(state)}{often}; see "
        f"{home.log_file(state.name)}{cure}.",
        service=state.name,
    )


def end_text(state: ServiceState) -> str:
    """Returns how a service has ended, with its last words if it had the time for any."""
    assert state.exit_status is not None
    if state.exit_status < 0:
        return f"was killed by signal {-state.exit_status}"
    last = f" ({state.last_line})" if state.last_line else ""
    return f"ended with status {state.exit_status}{last}"


def silent(name: str, target: str, home: Home) -> Unavailable:
    """Returns the error of a service that runs and does not answer."""
    return Unavailable(
        "SERVICE_SILENT",
        f"The {name} service does not answer at {target}; see {home.log_file(name)}.",
        service=name,
    )


def serves(target: str) -> bool:
    """Returns whether the service there says within a moment that it serves."""
    if not accepts(target):
        return False
    from shoal_client import Health, check_health

    return check_health(target, timeout_s=1.0, wait=True) is Health.SERVING


def accepts(target: str) -> bool:
    """Returns whether something accepts connections there."""
    family = socket.AF_UNIX if target.startswith("unix:") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(_address(target))
        except OSError:
            return False
    return True


def _address(target: str) -> str | tuple[str, int]:
    if target.startswith("unix:"):
        return target.removeprefix("unix:")
    host, _, port = target.rpartition(":")
    return host, int(port)

"""Ensembles that somebody else has started: `shoal up` on this home, or another machine."""

from collections.abc import Mapping

from shoal_cli.ensemble import services as roles
from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.liveness import check_serving, died
from shoal_cli.ensemble.state import EnsembleState
from shoal_core.errors import Unavailable


class RunningEnsemble:
    """The ensemble that `shoal up` has started."""

    def __init__(self, home: Home, state: EnsembleState) -> None:
        self._home = home
        self.state = state

    @property
    def targets(self) -> Mapping[str, str]:
        """Where each service listens, by name."""
        return {service.name: service.target for service in self.state.services}

    def wait_until_serving(self) -> None:
        """Returns if every service serves.

        Raises:
            Unavailable: SERVICE_DIED, SERVICE_SILENT or ENSEMBLE_DIED.
        """
        self.check()
        for service in self.state.services:
            check_serving(service.name, service.target, self._home)

    def check(self) -> None:
        """Returns if no service has ended.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """
        state = EnsembleState.read(self._home.state_file)
        if state is None or state.pid != self.state.pid:
            raise Unavailable("ENSEMBLE_DIED", "The ensemble was ended by `shoal down`.")
        for service in state.services:
            if service.exit_status is not None:
                raise died(service, self._home, "; run `shoal down`, then `shoal up`")

    def wait_for_death(self) -> None:
        """Does as `check`.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """
        self.check()


class RemoteEnsemble:
    """The ensemble of another machine, on the ports of `shoal up`."""

    def __init__(self, host: str) -> None:
        self._host = host

    @property
    def targets(self) -> Mapping[str, str]:
        """Where each service listens, by name."""
        return roles.tcp_targets(host=self._host)

    def wait_until_serving(self) -> None:
        """Returns at once: the first call tells."""

    def check(self) -> None:
        """Returns at once: calls tell."""

    def wait_for_death(self) -> None:
        """Returns at once: calls tell."""


def running_ensemble(home: Home) -> RunningEnsemble | None:
    """Returns the ensemble that `shoal up` runs on this home, if there is one.

    Raises:
        FailedPrecondition: HOME_LOCKED when another command has an ensemble of its own there.
    """
    from shoal_cli.ensemble.lock import current_holder, locked_error

    holder = current_holder(home.lock_file)
    if holder is None or holder.is_leaving:
        return None
    state = EnsembleState.read(home.state_file) if holder.mode == "machine" else None
    if state is None:
        raise locked_error(home.lock_file, holder)
    return RunningEnsemble(home, state)

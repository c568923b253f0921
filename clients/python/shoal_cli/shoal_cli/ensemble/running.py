"""Ensembles that somebody else has started: `shoal up` on this home, or another machine."""

import time
from collections.abc import Mapping

from shoal_cli.ensemble import services as roles
from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.liveness import died, serves, silent
from shoal_cli.ensemble.state import EnsembleState
from shoal_core.errors import Unavailable

_START_SECONDS = 60.0


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
        """Returns when every service serves; one may just be started again.

        Raises:
            Unavailable: SERVICE_DIED, SERVICE_SILENT or ENSEMBLE_DIED.
        """
        self.check()
        deadline = time.monotonic() + _START_SECONDS
        for service in self.state.services:
            while not serves(service.target):
                if time.monotonic() > deadline:
                    raise silent(service.name, service.target, self._home)
                self.wait(0.1)

    def check(self) -> None:
        """Returns if no service has ended for good.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """
        from shoal_cli.ensemble.lock import current_holder

        state = EnsembleState.read(self._home.state_file)
        if state is None or state.pid != self.state.pid:
            raise Unavailable("ENSEMBLE_DIED", "The ensemble was ended by `shoal down`.")
        if current_holder(self._home.lock_file) is None:
            raise Unavailable(
                "ENSEMBLE_DIED",
                "The services' supervisor was killed and they went with it; run `shoal up`, then "
                f"the command again, or see {self._home.log_file('supervisor')}.",
            )
        for service in state.services:
            if service.given_up:
                raise died(service, self._home, "; run `shoal down`, then `shoal up`")

    def wait(self, seconds: float) -> None:
        """Returns after a time, as `check` does.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """
        time.sleep(seconds)
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

    def wait(self, seconds: float) -> None:
        """Returns after a time: calls tell."""
        time.sleep(seconds)


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

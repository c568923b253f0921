"""An ensemble and a connection to it, for as long as a command needs them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.launched import LaunchedEnsemble
from shoal_cli.ensemble.launcher import Ensemble, ensemble
from shoal_cli.ensemble.running import RemoteEnsemble
from shoal_cli.patience import Patience
from shoal_cli.progress import Progress
from shoal_client import Shoal, Targets
from shoal_core.errors import Unavailable


@dataclass(frozen=True)
class Session:
    """What a command works with."""

    shoal: Shoal
    ensemble: Ensemble
    progress: Progress
    is_embedded: bool
    """Whether the ensemble is this command's own."""
    home: Home | None
    """The folder of everything durable of an ensemble on this machine."""
    patiently: Patience
    """Makes calls that may be made twice, until their service is there."""


@contextlib.contextmanager
def session(
    home: Home, names: Sequence[str], command: str, progress: Progress
) -> Iterator[Session]:
    """Yields a connection to an ensemble that serves; an embedded one is gone afterwards.

    A call that fails because its service will not come back is reported as that.

    Args:
        home: The folder of everything durable.
        names: Services that the command needs.
        command: The command line, for people.
        progress: Where the start is shown.

    Raises:
        FailedPrecondition: HOME_LOCKED, HOME_UNUSABLE or SERVICE_NOT_INSTALLED.
        Unavailable: SERVICE_DIED, SERVICE_SILENT or ENSEMBLE_DIED.
    """
    with progress, ensemble(home, names, command) as services:
        progress.step("starting")
        services.wait_until_serving()
        fields = {name: services.targets[name] for name in _SDK_TARGETS if name in services.targets}
        with Shoal.connect(Targets(**fields)) as shoal:
            try:
                is_remote = isinstance(services, RemoteEnsemble)
                yield Session(
                    shoal,
                    services,
                    progress,
                    is_embedded=isinstance(services, LaunchedEnsemble),
                    home=None if is_remote else home,
                    patiently=Patience(services, has_answered=not is_remote),
                )
            except Unavailable:
                services.wait(_DEATH_SECONDS)
                raise


_DEATH_SECONDS = 1.0
_SDK_TARGETS = ("decode", "serving", "labels", "orchestrator")

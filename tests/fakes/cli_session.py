"""What a command works with, around a fake orchestrator: no services, no terminal."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from shoal_cli.patience import Patience
from shoal_cli.progress import Progress
from shoal_cli.session import Session
from shoal_client import Shoal
from shoal_core.errors import Unavailable
from tests.fakes.training_orchestrator import FakeTrainingOrchestrator, served


class FakeEnsemble:
    """Services that are alive, or one of which has died for good."""

    def __init__(self) -> None:
        self.targets: Mapping[str, str] = {}
        self.dead = ""
        self.interrupts = False
        """Whether somebody presses Ctrl-C while it is waited for."""

    def wait_until_serving(self) -> None:
        """They serve."""

    def check(self) -> None:
        if self.dead:
            raise Unavailable("SERVICE_DIED", f"{self.dead} died.")

    def wait(self, seconds: float) -> None:
        if self.interrupts:
            raise KeyboardInterrupt
        self.check()


@contextlib.contextmanager
def fake_session(
    fake: FakeTrainingOrchestrator, folder: Path, *, is_embedded: bool = False
) -> Iterator[Session]:
    ensemble = FakeEnsemble()
    with served(fake, folder) as targets, Shoal.connect(targets) as shoal:
        yield Session(
            shoal=shoal,
            ensemble=ensemble,
            progress=Progress(io.StringIO(), moves=False, clock=lambda: 0.0),
            is_embedded=is_embedded,
            home=None,
            patiently=Patience(ensemble, has_answered=True, clock=lambda: 0.0),
        )

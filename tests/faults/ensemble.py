"""A whole ensemble under its real supervisor, which starts services again."""

import dataclasses
import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.launched import LaunchedEnsemble
from shoal_cli.ensemble.services import ALL_SERVICES, services, socket_folder, unix_targets
from shoal_cli.ensemble.specification import Service, Specification, Supervision
from shoal_cli.ensemble.state import EnsembleState, ServiceState
from shoal_client import Health, Targets, check_health
from tests.faults.belongings import MARK, mapped_regions, marked, new_mark, regions_of

SUPERVISION = Supervision(
    period_seconds=1.0, silence_seconds=6.0, start_seconds=20.0, death_limit=1000
)
SECOND_WORKER = "second-worker"

SERVICE_SETTINGS = {"orchestrator": {"lease_seconds": 2.0, "segment_frame_count": 16}}

_SERVE_SECONDS = 90.0
_PERIOD_SECONDS = 0.05


class SupervisedEnsemble:
    """Every service as `shoal up` runs them, on Unix sockets, and one more worker if wanted."""

    def __init__(self, folder: Path, *, second_worker: bool) -> None:
        """Prepares an ensemble whose home lies in `folder`."""
        self.home = Home(folder / "home")
        self.pids: set[int] = set()
        """Every service process that was seen."""
        self._sockets = socket_folder({})
        targets = unix_targets(ALL_SERVICES, self._sockets)
        made = services(ALL_SERVICES, targets, self.home, ["/"], SERVICE_SETTINGS)
        if second_worker:
            worker = next(service for service in made if service.name == "worker")
            made = (*made, _twin(worker))
        self._specification = Specification(
            mode="machine",
            command="python -m tests.faults",
            home=self.home.folder,
            socket_folder=self._sockets,
            services=made,
            supervision=SUPERVISION,
        )
        self._mark = new_mark()

    @property
    def targets(self) -> Targets:
        """Where a client finds the services."""
        names = ("decode", "serving", "labels", "orchestrator")
        return Targets(**{name: self.target(name) for name in names})

    def target(self, name: str) -> str:
        """Returns where a service listens."""
        return self._launched.targets[name]

    def __enter__(self) -> Self:
        self.home.create()
        os.environ[MARK] = self._mark
        try:
            self._launched = LaunchedEnsemble(self._specification)
        finally:
            del os.environ[MARK]
        self._launched.wait_until_serving()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leftovers()
        self._launched.stop()
        if exc is None:
            left = [*marked(self._mark).values(), *regions_of(self.pids)]
            left += [str(self._sockets)] if self._sockets.exists() else []
            assert not left, left

    def state(self, name: str) -> ServiceState:
        """Returns a service as its supervisor knows it now."""
        state = EnsembleState.read(self.home.state_file)
        assert state is not None
        self.pids.update(service.pid for service in state.services)
        return next(service for service in state.services if service.name == name)

    def send(self, name: str, number: signal.Signals) -> ServiceState:
        """Sends a signal to a service as it is now; returns what it was sent to."""
        deadline = time.monotonic() + _SERVE_SECONDS
        while (state := self.state(name)).exit_status is not None:
            assert time.monotonic() < deadline, f"{name} was not started again"
            time.sleep(_PERIOD_SECONDS)
        os.kill(state.pid, number)
        return state

    def wait_until_replaced(self, before: ServiceState) -> None:
        """Returns when the supervisor has started a service again."""
        deadline = time.monotonic() + _SERVE_SECONDS
        while self.state(before.name).restart_count == before.restart_count:
            assert time.monotonic() < deadline, f"{before.name} was not replaced"
            time.sleep(_PERIOD_SECONDS)

    def wait_until_serving(self) -> None:
        """Returns when every service serves."""
        deadline = time.monotonic() + _SERVE_SECONDS
        for target in self._launched.targets.values():
            while check_health(target, timeout_s=1.0) is not Health.SERVING:
                assert time.monotonic() < deadline, f"{target} never served"
                time.sleep(_PERIOD_SECONDS)

    def leftovers(self) -> list[str]:
        """Returns shared memory that services have left, in the file system or mapped."""
        state = EnsembleState.read(self.home.state_file)
        assert state is not None
        self.pids.update(service.pid for service in state.services)
        mapped = {
            f"{service.name}: {region}"
            for service in state.services
            for region in mapped_regions(service.pid)
        }
        return regions_of(self.pids) + sorted(mapped)


def _twin(worker: Service) -> Service:
    target = f"{worker.target}-2"
    return dataclasses.replace(
        worker,
        name=SECOND_WORKER,
        target=target,
        settings=(*worker.settings, f"listen={target}"),
    )

"""An ensemble that this process has started, at the other end of its supervisor's pipes."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.leftovers import remove_socket_folder
from shoal_cli.ensemble.liveness import died, serves, silent
from shoal_cli.ensemble.logs import open_log
from shoal_cli.ensemble.specification import STAY, Specification
from shoal_cli.ensemble.state import ServiceState
from shoal_core.errors import FailedPrecondition, Internal, ShoalError, Unavailable

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0


class LaunchedEnsemble:
    """An ensemble that this process has started."""

    def __init__(
        self, specification: Specification, *, start_seconds: float = _START_SECONDS
    ) -> None:
        self._home = Home(specification.home)
        self._specification = specification
        self._start_seconds = start_seconds
        self._unread = b""
        self._started = False
        self._failure: ShoalError | None = None
        with open_log(self._home.log_file("supervisor")) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "shoal_cli.ensemble.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._home.folder,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._events = self._process.stdout
        self._process.stdin.write(specification.to_json().encode() + b"\n")
        self._process.stdin.flush()

    @property
    def targets(self) -> Mapping[str, str]:
        """Where each service listens, by name."""
        return {service.name: service.target for service in self._specification.services}

    def wait_until_serving(self) -> None:
        """Returns when every service serves.

        Raises:
            FailedPrecondition: HOME_LOCKED when another ensemble has this home.
            Unavailable: SERVICE_DIED, SERVICE_SILENT or ENSEMBLE_DIED.
        """
        deadline = time.monotonic() + self._start_seconds
        while not self._started:
            if time.monotonic() > deadline:
                raise Unavailable(
                    "SERVICE_SILENT",
                    f"The services' supervisor has not started them in {self._start_seconds:g} s; "
                    f"see {self._home.log_file('supervisor')}.",
                )
            self._take_events(wait_s=max(0.0, deadline - time.monotonic()))
        for service in self._specification.services:
            while not serves(service.target):
                if time.monotonic() > deadline:
                    raise silent(service.name, service.target, self._home)
                self._take_events(wait_s=0.02)
        self.check()

    def check(self) -> None:
        """Returns at once if every service is alive, or about to be again.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """
        self._take_events(wait_s=0.0)

    def wait(self, seconds: float) -> None:
        """Returns after a time, or earlier, as `check` does.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED.
        """
        self._take_events(wait_s=seconds)

    def stop(self) -> None:
        """Ends the ensemble and waits until nothing of it is left."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # it hangs; its services end with it
            self._process.wait()
        finally:
            self._events.close()
        remove_socket_folder(self._specification.socket_folder)  # a killed supervisor left it

    def leave(self) -> None:
        """Lets the ensemble run on without this process."""
        assert self._process.stdin is not None
        self._process.stdin.write(STAY)
        self._process.stdin.close()
        self._events.close()
        self._process.returncode = 0  # it is not waited for: its life goes on after ours

    def _take_events(self, wait_s: float) -> None:
        if self._failure is not None:
            raise self._failure
        ready, _, _ = select.select([self._events], [], [], wait_s)
        if not ready:
            return
        chunk = os.read(self._events.fileno(), 65536)
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            self._take_event(json.loads(line))
        if not chunk:
            self._failure = Unavailable(
                "ENSEMBLE_DIED",
                "The services' supervisor was killed and they went with it; run the command "
                f"again, or see {self._home.log_file('supervisor')}.",
            )
        if self._failure is not None:
            raise self._failure

    def _take_event(self, event: Mapping[str, object]) -> None:
        match event["event"]:
            case "started":
                self._started = True
            case "given_up":
                state = event["service"]
                assert isinstance(state, dict)
                self._failure = self._failure or died(ServiceState(**state), self._home)
            case "refused":
                self._failure = FailedPrecondition(str(event["reason"]), str(event["message"]))
            case unknown:
                raise Internal("EVENT_UNKNOWN", f"The supervisor said {unknown!r}.")

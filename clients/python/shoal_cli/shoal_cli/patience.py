"""Calls that are made again while a service is away: its supervisor starts it again."""

import time
from collections.abc import Callable
from typing import TypeVar

from shoal_cli.ensemble.launcher import Ensemble
from shoal_core.errors import Cancelled, DeadlineExceeded, ShoalError, Unavailable

Result = TypeVar("Result")

PATIENCE_SECONDS = 120.0
"""Time that a service has to come back; long enough for one that hangs to be noticed."""

_PASSING = (Unavailable, Cancelled)
"""What a call comes to whose service ends on the way."""
_PERIOD_SECONDS = 0.25


class Patience:
    """Makes calls that may be made twice."""

    def __init__(
        self,
        ensemble: Ensemble,
        *,
        has_answered: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares to wait for services of `ensemble`.

        Args:
            ensemble: Says which services will not come back.
            has_answered: Whether its services are known to be there; otherwise a first call
                that fails is not made again.
            clock: Seconds that only grow.
        """
        self._ensemble = ensemble
        self._has_answered = has_answered
        self._clock = clock
        self._end_s: float | None = None

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Returns what a call returns in the end.

        Raises:
            Unavailable: SERVICE_DIED or ENSEMBLE_DIED where waiting cannot help.
            ShoalError: What the call said, last.
        """
        while True:
            begun_s = self._clock()
            try:
                result = call()
            except DeadlineExceeded as error:
                # It was patient itself: a service that hangs is replaced in less time.
                self._wait(error, since_s=begun_s)
            except _PASSING as error:
                self._wait(error, since_s=self._clock())
            else:
                self.answered()
                return result

    def answered(self) -> None:
        """Notes that services are there: the next time that one is away counts anew."""
        self._has_answered = True
        self._end_s = None

    def _wait(self, error: ShoalError, *, since_s: float) -> None:
        self._ensemble.check()
        if self._end_s is None:
            self._end_s = since_s + PATIENCE_SECONDS
        if not self._has_answered or self._clock() >= self._end_s:
            raise error
        self._ensemble.wait(_PERIOD_SECONDS)

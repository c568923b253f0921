"""Services are kept running: those that end are started again, those that hang are killed."""

from collections import deque
from collections.abc import Callable, Sequence

from shoal_cli.ensemble.children import Children
from shoal_cli.ensemble.liveness import end_text
from shoal_cli.ensemble.pulse import Pulse
from shoal_cli.ensemble.specification import Service, Supervision
from shoal_cli.ensemble.state import ServiceState

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_FULL_DISK_SECONDS = 10.0


class Upkeep:
    """Decides what becomes of services; told the time by its clock only."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        children: Children,
        pulse: Pulse,
        supervision: Supervision,
        clock: Callable[[], float],
        has_room: Callable[[], bool],
        log: Callable[[str], None],
    ) -> None:
        self._services = {service.name: service for service in services}
        self._children = children
        self._pulse = pulse
        self._supervision = supervision
        self._clock = clock
        self._has_room = has_room
        self._log = log
        self._deaths: dict[str, deque[float]] = {name: deque() for name in self._services}
        self._due: dict[str, float] = {}
        self._next_beat_s = clock() + supervision.period_seconds

    def start(self) -> None:
        """Starts every service."""
        for service in self._services.values():
            self._children.start(service)

    def tend(self) -> tuple[bool, list[ServiceState]]:
        """Does what is due; returns whether anything has changed, and what was given up."""
        exits = self._children.take_exits()
        given_up = [state for state in exits if not self._is_to_start_again(state)]
        now_s = self._clock()
        due = [name for name, when_s in self._due.items() if when_s <= now_s]
        for name in due:
            del self._due[name]
            self._start_again(name)
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + self._supervision.period_seconds
            self._beat()
        return bool(exits or due), [self._children.give_up(state.name) for state in given_up]

    def seconds_to_next(self) -> float:
        """Returns the time until something is due again, whatever else happens."""
        return max(0.0, min([self._next_beat_s, *self._due.values()]) - self._clock())

    def _start_again(self, name: str) -> None:
        try:
            self._children.start(self._services[name])
        except OSError as error:  # no memory or no process is left; it passes
            self._log(f"{name} cannot be started ({error.strerror}); it is tried again")
            self._due[name] = self._clock() + _LONGEST_PAUSE_SECONDS

    def _beat(self) -> None:
        running = {s.name: s.pid for s in self._children.states if s.exit_status is None}
        beat = self._pulse.beat(self._services, running)
        for name in beat.came_up:
            self._log(f"{name} (process {running[name]}) answers")
        for name in beat.hung:
            self._log(f"killing {name} (process {running[name]}): it does not answer")
            self._children.kill(name)
        self._children.trim_logs()

    def _is_to_start_again(self, state: ServiceState) -> bool:
        """Decides about a service that has ended; most are to start again after a pause."""
        now_s = self._clock()
        said = f"{state.name} (process {state.pid}) {end_text(state)}"
        assert state.exit_status is not None
        if not self._has_room():  # it passes, and tells nothing about the service
            self._log(f"{said}; the disk is full, it is started again in {_FULL_DISK_SECONDS:g} s")
            self._due[state.name] = now_s + _FULL_DISK_SECONDS
            return True
        deaths = self._deaths[state.name]
        deaths.append(now_s)
        while now_s - deaths[0] > self._supervision.death_window_seconds:
            deaths.popleft()
        was_heard = state.restart_count > 0 or self._pulse.has_answered(state.name, state.pid)
        if state.exit_status > 0 and not was_heard:
            self._log(f"{said}; it cannot start")
            return False
        if len(deaths) > self._supervision.death_limit:
            window = f"{self._supervision.death_window_seconds:g} s"
            self._log(f"{said}; given up after {len(deaths)} deaths within {window}")
            return False
        pause_s = _pause_seconds(len(deaths))
        self._log(f"{said}; it is started again in {pause_s:g} s")
        self._due[state.name] = now_s + pause_s
        return True


def _pause_seconds(death_count: int) -> float:
    """Returns none for a first death, then ever more."""
    if death_count == 1:
        return 0.0
    return float(min(_FIRST_PAUSE_SECONDS * 2 ** (death_count - 2), _LONGEST_PAUSE_SECONDS))

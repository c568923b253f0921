"""When services are started again, when they are killed, and when they are given up."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from shoal_cli.ensemble.pulse import Pulse
from shoal_cli.ensemble.specification import Service, Supervision
from shoal_cli.ensemble.state import ServiceState
from shoal_cli.ensemble.upkeep import Upkeep
from shoal_core.errors import InvalidArgument

RULES = Supervision(period_seconds=5.0, silence_seconds=30.0, start_seconds=120.0, death_limit=5)
SERVICES = tuple(Service(name, f"fake_{name}", f"unix:/{name}", ()) for name in ("one", "two"))
KILLED, REFUSED = -9, 2


@dataclass
class FakeChildren:
    """Processes that end when a test says so."""

    states_by_name: dict[str, ServiceState] = field(default_factory=dict)
    exits: list[ServiceState] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    refusals: list[OSError] = field(default_factory=list)
    """What becomes of the next attempts to start one."""

    @property
    def states(self) -> tuple[ServiceState, ...]:
        return tuple(self.states_by_name.values())

    def start(self, service: Service) -> None:
        if self.refusals:
            raise self.refusals.pop()
        count = self.started.count(service.name)
        self.started.append(service.name)
        self.states_by_name[service.name] = ServiceState(
            service.name, service.target, len(self.started), restart_count=count
        )

    def end(self, name: str, status: int) -> None:
        self.states_by_name[name] = replace(self.states_by_name[name], exit_status=status)
        self.exits.append(self.states_by_name[name])

    def take_exits(self) -> list[ServiceState]:
        taken, self.exits = self.exits, []
        return taken

    def kill(self, name: str) -> None:
        self.killed.append(name)
        self.end(name, KILLED)

    def give_up(self, name: str) -> ServiceState:
        return replace(self.states_by_name[name], given_up=True)

    def trim_logs(self) -> None:
        pass


@dataclass
class FakeCheck:
    is_answered: bool
    is_done: bool = True

    def done(self) -> bool:
        return self.is_done

    def answered(self) -> bool:
        return self.is_answered


@dataclass
class FakeChecker:
    """Answers for every service but the silent ones."""

    silent: set[str] = field(default_factory=set)

    def begin(self, target: str, timeout_s: float) -> FakeCheck:
        return FakeCheck(target.removeprefix("unix:/") not in self.silent)


class Bench:
    """Services between a clock, processes and checks that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.children = FakeChildren()
        self.checker = FakeChecker()
        self.said: list[str] = []
        self.has_room = True
        self.upkeep = Upkeep(
            SERVICES,
            children=self.children,  # type: ignore[arg-type]  # what it calls is there
            pulse=Pulse(self.checker, RULES),
            supervision=RULES,
            clock=lambda: self.now_s,
            has_room=lambda: self.has_room,
            log=self.said.append,
        )
        self.upkeep.start()

    def tend(self) -> list[str]:
        """Lets it do what is due; returns what was given up."""
        return [state.name for state in self.upkeep.tend()[1]]

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Lets time pass as the supervisor's loop does."""
        end_s = self.now_s + seconds
        while self.now_s < end_s and not until():
            self.now_s = min(self.now_s + max(self.upkeep.seconds_to_next(), 0.01), end_s)
            self.upkeep.tend()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_service_that_dies_is_started_again_at_once_and_the_others_stay(bench: Bench) -> None:
    bench.children.end("one", KILLED)
    assert bench.tend() == []
    assert bench.children.started == ["one", "two", "one"]


def test_a_service_that_there_is_no_memory_for_is_tried_again_and_the_others_stay(
    bench: Bench,
) -> None:
    bench.children.refusals = [OSError(errno.ENOMEM, "Cannot allocate memory")] * 3
    bench.children.end("one", KILLED)
    assert bench.tend() == []
    bench.run(60.0)
    assert bench.children.started == ["one", "two", "one"]
    assert bench.children.killed == []
    assert sum("Cannot allocate memory" in line for line in bench.said) == 3


def test_pauses_grow_with_deaths_that_follow_one_another(bench: Bench) -> None:
    pauses_s = []
    for _ in range(RULES.death_limit):
        died_s, count = bench.now_s, len(bench.children.started)
        bench.children.end("one", KILLED)
        bench.tend()
        bench.run(20.0, until=lambda count=count: len(bench.children.started) > count)
        pauses_s.append(bench.now_s - died_s)
    assert pauses_s == pytest.approx([0.0, 0.25, 0.5, 1.0, 2.0], abs=0.02)


def test_a_service_is_given_up_after_too_many_deaths_in_a_short_time(bench: Bench) -> None:
    for _ in range(RULES.death_limit):
        bench.children.end("one", KILLED)
        assert bench.tend() == []
        bench.run(4.0)
    bench.children.end("one", KILLED)
    assert bench.tend() == ["one"]
    bench.run(600.0)
    assert bench.children.started.count("one") == 1 + RULES.death_limit
    assert any("given up" in line and line.startswith("one") for line in bench.said)


def test_deaths_that_lie_apart_are_never_too_many(bench: Bench) -> None:
    for _ in range(4 * RULES.death_limit):
        bench.children.end("one", KILLED)
        assert bench.tend() == []
        bench.run(RULES.death_window_seconds)
    assert bench.children.started.count("one") == 1 + 4 * RULES.death_limit


def test_a_service_that_ends_on_a_full_disk_is_tried_until_there_is_room(bench: Bench) -> None:
    bench.run(2 * RULES.period_seconds)
    bench.has_room = False
    for _ in range(2 * RULES.death_limit):
        bench.children.end("one", REFUSED)
        assert bench.tend() == []
        bench.run(10.0)
    assert bench.children.started.count("one") == 1 + 2 * RULES.death_limit


def test_a_service_that_refuses_to_start_is_not_asked_again(bench: Bench) -> None:
    bench.children.end("one", REFUSED)
    assert bench.tend() == ["one"]


def test_a_service_that_has_served_is_started_again_however_it_ends(bench: Bench) -> None:
    bench.run(2 * RULES.period_seconds)
    bench.children.end("one", REFUSED)
    assert bench.tend() == []


def test_a_service_that_falls_silent_is_killed_and_started_again(bench: Bench) -> None:
    bench.run(60.0)
    bench.checker.silent.add("one")
    bench.run(RULES.silence_seconds - RULES.period_seconds)
    assert bench.children.killed == []
    bench.run(3 * RULES.period_seconds)
    assert bench.children.killed == ["one"]
    bench.checker.silent.clear()
    bench.run(600.0)
    assert bench.children.killed == ["one"]
    assert bench.children.started == ["one", "two", "one"]


def test_a_service_has_more_time_for_its_first_answer(bench: Bench) -> None:
    bench.checker.silent.add("one")
    bench.run(RULES.start_seconds - RULES.period_seconds)
    assert bench.children.killed == []
    bench.run(3 * RULES.period_seconds)
    assert bench.children.killed == ["one"]


def test_a_clock_that_jumps_kills_nothing(bench: Bench) -> None:
    """A machine that was suspended, or a supervisor that was stopped, while checks ran out."""
    bench.run(60.0)
    for _ in range(10):
        bench.checker.silent.update(("one", "two"))
        bench.run(RULES.period_seconds)
        bench.now_s += 86_400.0
        bench.tend()
        bench.checker.silent.clear()
        bench.run(60.0)
    assert bench.children.killed == []


def test_a_missed_check_now_and_then_is_forgiven(bench: Bench) -> None:
    bench.run(60.0)
    for _ in range(20):
        bench.checker.silent.add("one")
        bench.run(RULES.silence_seconds - 2 * RULES.period_seconds)
        bench.checker.silent.clear()
        bench.run(2 * RULES.period_seconds)
    assert bench.children.killed == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"period_seconds": 0.0},
        {"period_seconds": float("nan")},
        {"period_seconds": float("inf")},
        {"silence_seconds": 1.0},
        {"death_limit": "many"},
        {"death_limit": True},
    ],
)
def test_supervision_that_cannot_work_is_refused(wrong: dict) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        Supervision(**wrong)

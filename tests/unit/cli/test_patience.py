"""Calls are made again while their service may come back, and no longer."""

from dataclasses import dataclass, field

import pytest

from shoal_cli.patience import PATIENCE_SECONDS, Patience
from shoal_core.errors import DeadlineExceeded, NotFound, ShoalError, Unavailable

AWAY = Unavailable("UNAVAILABLE", "It is away.")


@dataclass
class FakeEnsemble:
    """Waits by moving its clock; `death` is what has become of it for good."""

    now_s: float = 0.0
    death: ShoalError | None = None
    targets: dict[str, str] = field(default_factory=dict)

    def wait_until_serving(self) -> None:
        pass

    def check(self) -> None:
        if self.death is not None:
            raise self.death

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.check()


class Call:
    """Fails as often as it is told to."""

    def __init__(self, *failures: ShoalError) -> None:
        self.failures = list(failures)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.fixture
def ensemble() -> FakeEnsemble:
    return FakeEnsemble()


@pytest.fixture
def patiently(ensemble: FakeEnsemble) -> Patience:
    return Patience(ensemble, has_answered=True, clock=lambda: ensemble.now_s)


def test_a_service_that_comes_back_is_waited_for(patiently: Patience) -> None:
    assert patiently(Call(AWAY, DeadlineExceeded("DEADLINE_EXCEEDED", "Slow."), AWAY)) == "answer"


def test_what_a_service_says_is_not_asked_again(patiently: Patience) -> None:
    call = Call(NotFound("MODEL_NOT_FOUND", "There is none."))
    with pytest.raises(NotFound):
        patiently(call)
    assert call.count == 1


def test_a_service_that_does_not_come_back_is_named_in_the_end(
    patiently: Patience, ensemble: FakeEnsemble
) -> None:
    with pytest.raises(Unavailable, match="It is away"):
        patiently(Call(*[AWAY] * 10_000))
    assert ensemble.now_s == pytest.approx(PATIENCE_SECONDS, abs=1.0)


def test_every_absence_counts_anew(patiently: Patience, ensemble: FakeEnsemble) -> None:
    absence = int(0.9 * PATIENCE_SECONDS / 0.25)
    for _ in range(3):
        assert patiently(Call(*[AWAY] * absence)) == "answer"
    assert ensemble.now_s > 2 * PATIENCE_SECONDS


def test_a_call_that_was_patient_itself_is_not_made_again(
    patiently: Patience, ensemble: FakeEnsemble
) -> None:
    calls = []

    def slow() -> None:
        calls.append(ensemble.now_s)
        ensemble.now_s += PATIENCE_SECONDS
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "It takes too long.")

    with pytest.raises(DeadlineExceeded):
        patiently(slow)
    assert calls == [0.0]


def test_an_ensemble_that_has_died_is_not_waited_for(
    patiently: Patience, ensemble: FakeEnsemble
) -> None:
    ensemble.death = Unavailable("ENSEMBLE_DIED", "It was killed.")
    with pytest.raises(Unavailable, match="It was killed"):
        patiently(Call(AWAY))


def test_another_machine_that_has_never_answered_is_not_waited_for(ensemble: FakeEnsemble) -> None:
    patiently = Patience(ensemble, has_answered=False, clock=lambda: ensemble.now_s)
    call = Call(AWAY)
    with pytest.raises(Unavailable):
        patiently(call)
    assert call.count == 1
    assert patiently(Call()) == "answer"
    assert patiently(Call(AWAY)) == "answer"

"""What can happen to a process of an ensemble, and when."""

import random
from dataclasses import dataclass
from enum import Enum

SERVICES = ("worker", "engine", "labels", "serving", "decode", "orchestrator")
_PAUSE_SECONDS = (0.5, 5.0)
_AWAY_SECONDS = (0.0, 5.0)


class Kind(Enum):
    """How a process is disturbed."""

    KILL = "killed"
    PAUSE = "paused"
    HANG = "hung"
    """Paused, then killed, as a supervisor does with a process that does not answer."""


@dataclass(frozen=True)
class Fault:
    """One disturbance of one process."""

    service: str
    kind: Kind
    moment: float
    """When, as a fraction of the time that the undisturbed job takes."""
    pause_seconds: float
    """Between SIGSTOP and what follows; 0 for KILL."""
    away_seconds: float
    """Between the death of the process and the start of the next; 0 for PAUSE."""

    def __str__(self) -> str:
        pause = f" for {self.pause_seconds:.1f} s" if self.pause_seconds else ""
        away = f", away for {self.away_seconds:.1f} s" if self.away_seconds else ""
        return f"{self.service} {self.kind.value}{pause} at {self.moment:.2f}{away}"


def random_fault(random_source: random.Random, services: tuple[str, ...] = SERVICES) -> Fault:
    """Returns any fault; half of them are kills."""
    kind = random_source.choice((Kind.KILL, Kind.KILL, Kind.PAUSE, Kind.HANG))
    return Fault(
        service=random_source.choice(services),
        kind=kind,
        moment=random_source.random(),
        pause_seconds=0.0 if kind is Kind.KILL else random_source.uniform(*_PAUSE_SECONDS),
        away_seconds=0.0 if kind is Kind.PAUSE else random_source.uniform(*_AWAY_SECONDS),
    )

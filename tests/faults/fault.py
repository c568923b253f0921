"""What can happen to a process of an ensemble, and when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

SERVICES = ("worker", "engine", "labels", "serving", "decode", "orchestrator", "tracking")
VICTIMS = (*SERVICES, "command", "supervisor")

Setting = Literal["ensemble", "command"]

_PAUSE_SECONDS = (0.5, 4.0)
_WITHIN_COMMAND = 0.25
"""Part of the faults of services that happen to the services of a command."""


class Kind(Enum):
    """How a process is disturbed."""

    KILL = "killed"
    PAUSE = "paused"
    HANG = "hung"
    """Stopped for good: the supervisor has to notice."""
    INTERRUPT = "interrupted"


_KINDS = {
    "command": (Kind.KILL, Kind.PAUSE, Kind.INTERRUPT),
    "supervisor": (Kind.KILL, Kind.PAUSE),
}
_KINDS_OF_SERVICES = (Kind.KILL, Kind.KILL, Kind.PAUSE, Kind.HANG)


@dataclass(frozen=True)
class Fault:
    """One disturbance of one process."""

    victim: str
    kind: Kind
    setting: Setting
    """Of an ensemble that stays, beside a job and a live session, or of one `shoal track`."""
    moment: float
    """When, as a fraction of the time that the undisturbed work takes."""
    pause_seconds: float
    """Between SIGSTOP and SIGCONT; 0 but for PAUSE."""

    def __str__(self) -> str:
        pause = f" for {self.pause_seconds:.1f} s" if self.pause_seconds else ""
        return f"{self.victim} of {self.setting} {self.kind.value}{pause} at {self.moment:.2f}"


def random_fault(random_source: random.Random, victims: Sequence[str] = VICTIMS) -> Fault:
    """Returns any fault; half of those of services are kills."""
    victim = random_source.choice(victims)
    kind = random_source.choice(_KINDS.get(victim, _KINDS_OF_SERVICES))
    is_within = random_source.random() < _WITHIN_COMMAND and victim != "tracking"
    moment, pause_seconds = random_source.random(), random_source.uniform(*_PAUSE_SECONDS)
    return Fault(
        victim=victim,
        kind=kind,
        setting="command" if is_within or victim in _KINDS else "ensemble",
        moment=moment,
        pause_seconds=pause_seconds if kind is Kind.PAUSE else 0.0,
    )

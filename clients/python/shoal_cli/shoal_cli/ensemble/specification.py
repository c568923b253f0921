"""What a supervisor is told to run; travels as one line of JSON."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from shoal_core.errors import InvalidArgument

STAY = b"stay\n"
"""Said to a supervisor, it lets the ensemble outlive the command that has started it."""

_MOST_SECONDS = 1_000_000
"""More than anybody waits, and no more than the system can wait for."""

Mode = Literal["embedded", "machine"]


@dataclass(frozen=True)
class Service:
    """One process of the ensemble."""

    name: str
    module: str
    """Run as `python -m MODULE --set … --lifeline`."""
    target: str
    """Where it listens: host:port or unix:/path."""
    settings: tuple[str, ...]
    """KEY=VALUE, values in YAML."""


@dataclass(frozen=True)
class Supervision:
    """When a service is started again, and when it is given up.

    Silence is counted in checks that were missed one after another, not read off a clock: a
    machine that was suspended, or a supervisor that was stopped, misses one check at most.
    """

    period_seconds: float = 5.0
    """Between two health checks of a service, and the time that it has to answer one."""
    silence_seconds: float = 30.0
    """Without an answer for so long, a service hangs: it is killed and started again."""
    start_seconds: float = 60.0
    """The same before its first answer."""
    death_limit: int = 5
    """Deaths of a service within `death_window_seconds` after which it is started again."""
    death_window_seconds: float = 60.0

    def __post_init__(self) -> None:
        least = (0.1, self.period_seconds, self.period_seconds, 0, 0.0)
        for field, minimum in zip(dataclasses.fields(self), least, strict=True):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not minimum <= value <= _MOST_SECONDS:
                raise InvalidArgument(
                    "CONFIG_INVALID",
                    f"{field.name} is {value!r}; give a number from {minimum} to {_MOST_SECONDS}.",
                )


@dataclass(frozen=True)
class Specification:
    """An ensemble to run."""

    mode: Mode
    """`embedded` ends with its lifeline or with a service that is given up; `machine` when told."""
    command: str
    """The command line that asked for it, for people."""
    home: Path
    socket_folder: Path | None
    """Made at the start and removed at the end; None where every target is TCP."""
    services: tuple[Service, ...]
    grace_seconds: float = 8.0
    """Time that the services have to end before they are killed."""
    supervision: Supervision = Supervision()

    def to_json(self) -> str:
        """Returns the specification in one line."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Returns what `to_json` wrote."""
        fields = json.loads(line)
        return cls(
            mode=fields["mode"],
            command=fields["command"],
            home=Path(fields["home"]),
            socket_folder=Path(fields["socket_folder"]) if fields["socket_folder"] else None,
            services=tuple(
                Service(**{**service, "settings": tuple(service["settings"])})
                for service in fields["services"]
            ),
            grace_seconds=fields["grace_seconds"],
            supervision=Supervision(**fields["supervision"]),
        )

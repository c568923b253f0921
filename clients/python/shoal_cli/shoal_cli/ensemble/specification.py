"""What a supervisor is told to run; travels as one line of JSON."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

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
class Specification:
    """An ensemble to run."""

    mode: Mode
    """`embedded` ends with its lifeline or with the first service; `machine` when told to."""
    command: str
    """The command line that asked for it, for people."""
    home: Path
    socket_folder: Path | None
    """Made at the start and removed at the end; None where every target is TCP."""
    services: tuple[Service, ...]
    grace_seconds: float = 8.0
    """Time that the services have to end before they are killed."""

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
        )

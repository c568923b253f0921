"""What the supervisor of `shoal up` writes down for other commands."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class ServiceState:
    """One process of the ensemble."""

    name: str
    target: str
    pid: int
    exit_status: int | None = None
    """None while it runs; negative: the signal that killed it."""
    last_line: str = ""
    """What its log ended with; empty while it runs."""
    restart_count: int = 0
    """How often it was started again."""
    given_up: bool = False
    """Whether it stays as it has ended."""


@dataclass(frozen=True)
class EnsembleState:
    """A running ensemble."""

    pid: int
    """The supervisor's."""
    services: tuple[ServiceState, ...]

    def write(self, path: Path) -> None:
        """Replaces the file as a whole."""
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(dataclasses.asdict(self), indent=2))
        os.replace(beside, path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Returns what the file says; None if there is none."""
        try:
            fields = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(
            pid=fields["pid"],
            services=tuple(ServiceState(**service) for service in fields["services"]),
        )

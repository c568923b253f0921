"""Configuration of shoal-triton."""

from dataclasses import dataclass
from pathlib import Path

from shoal_common.config import require_at_least
from shoal_core.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class TritonConfig:
    """Where Triton listens, what it serves, and where it is installed.

    Raises:
        InvalidArgument: CONFIG_INVALID when it cannot listen there, or a number is out of range.
    """

    listen: str
    """host:port. Triton asks nobody who they are: prefer 127.0.0.1."""
    model_repository: Path
    """Triton's repository, as serving writes it; made if missing."""
    environment: Path
    """Virtual environment that holds `nvidia-pytriton` and shoal-engine."""
    drain_seconds: float = 5.0
    """Time that running requests have to end after SIGTERM."""

    def __post_init__(self) -> None:
        require_at_least(self, drain_seconds=0.0)
        host, colon, port = self.listen.rpartition(":")
        if not colon or not port.isdecimal() or host.startswith("unix"):
            raise InvalidArgument(
                "CONFIG_INVALID",
                f"Triton listens on host:port, not on {self.listen!r}; set listen to "
                "127.0.0.1:8001, for example.",
                key="listen",
            )

    @property
    def host(self) -> str:
        """The address."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port."""
        return int(self.listen.rpartition(":")[2])

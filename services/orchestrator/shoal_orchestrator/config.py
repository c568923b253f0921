"""Configuration of the orchestrator."""

from dataclasses import dataclass
from pathlib import Path

from shoal_common.config import ServerConfig
from shoal_core.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class OrchestratorConfig(ServerConfig):
    """What the orchestrator needs to start."""

    home: Path
    """Folder of the durable state; the ledger is `jobs/ledger.db` in it. On a local disk."""
    decode_target: str
    """Where videos are probed: host:port or unix:/path."""
    serving_target: str
    """Where model names are resolved: host:port or unix:/path."""
    labels_target: str | None = None
    """Where a job's centroids are looked up when it is created. None: nowhere; centroids that
    do not exist are then noticed by the first worker, and fail the job."""
    segment_frame_count: int = 1024
    """Frames of a segment, for about a minute of work: what a lost worker costs at most."""
    lease_seconds: float = 10.0
    """A worker that is not heard of for so long loses its task."""
    max_attempts: int = 3
    """Leases of a task before its job fails."""

    def __post_init__(self) -> None:
        for key in ("segment_frame_count", "lease_seconds", "max_attempts"):
            value = getattr(self, key)
            if value <= 0:
                raise InvalidArgument(
                    "CONFIG_INVALID",
                    f"Configuration key {key!r} is {value}; it must be above 0.",
                    key=key,
                )

"""Configuration of the orchestrator."""

from dataclasses import dataclass
from pathlib import Path

from shoal_common.config import ServerConfig, require_at_least


@dataclass(frozen=True, kw_only=True)
class OrchestratorConfig(ServerConfig):
    """What the orchestrator needs to start.

    Raises:
        InvalidArgument: CONFIG_INVALID when a number is out of range.
    """

    home: Path
    """Folder of the durable state; the ledger is `jobs/ledger.db` in it, the files of training jobs
    are in `jobs/artifacts`. On a local disk."""
    decode_target: str
    """Where videos are probed: host:port or unix:/path."""
    serving_target: str
    """Where model names are resolved: host:port or unix:/path."""
    labels_target: str | None = None
    """Where a job's centroids and files of labels are looked up when it is created. None: nowhere;
    centroids that do not exist are then noticed by the first worker, and fail the job, and training
    is refused."""
    segment_frame_count: int = 1024
    """Frames of a segment, for about a minute of work: what a lost worker costs at most."""
    lease_seconds: float = 10.0
    """A worker that is not heard of for so long loses its task."""
    max_attempts: int = 3
    """Leases of a task before its job fails; of training, those that get no further."""

    def __post_init__(self) -> None:
        # Workers are told the duration of a lease in whole milliseconds.
        require_at_least(self, segment_frame_count=1, lease_seconds=0.001, max_attempts=1)

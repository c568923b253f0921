"""Configuration of the engine's process."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from shoal_common.config import ServerConfig, require_at_least
from shoal_common.inference.priority import Priority
from shoal_engine.graph import Threads


@dataclass(frozen=True)
class EngineConfig(ServerConfig):
    """What the engine needs to run models.

    Raises:
        InvalidArgument: CONFIG_INVALID when a number is out of range.
    """

    model_repository: Path = field(kw_only=True)
    """Folder with `<model>/<version>/`, made if missing."""
    intra_op_thread_count: int = 0
    """Threads of a request that is computed alone and undivided; 0 means all cores."""
    max_concurrent_requests: int = 0
    """Requests, or parts of one, computed at once, each on one thread; 0 means all cores."""
    max_queued_requests: int = 64
    """Batch requests that may wait; the next one gets UNAVAILABLE."""
    max_queued_live_requests: int = 256
    """Live requests that may wait; the next one gets UNAVAILABLE. The default takes what a
    tracking service with the default limits can ask for at once."""
    stall_seconds: float = 120.0
    """A frame, or a request that cannot be cut, that is computed for longer is stuck: the engine
    ends, to be started again."""
    models_at_start: tuple[str, ...] = ()
    """Models of the repository that are loaded and warmed, in every version, before the engine
    is ready; it ends if one of them cannot be. All others are loaded on request."""

    def __post_init__(self) -> None:
        require_at_least(
            self,
            intra_op_thread_count=0,
            max_concurrent_requests=0,
            max_queued_requests=0,
            max_queued_live_requests=0,
            stall_seconds=1,
        )

    @property
    def queue_limits(self) -> dict[Priority, int]:
        """Requests of each class that may wait."""
        return {
            Priority.LIVE: self.max_queued_live_requests,
            Priority.BATCH: self.max_queued_requests,
        }

    @property
    def threads(self) -> Threads:
        """What computes requests."""
        return Threads(
            stream_count=self.max_concurrent_requests or core_count(),
            wide_count=self.intra_op_thread_count or core_count(),
        )


def core_count() -> int:
    """Returns the cores that this process may use."""
    return len(os.sched_getaffinity(0))

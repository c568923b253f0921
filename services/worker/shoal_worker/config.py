"""Configuration of a worker's process."""

import os
import socket
from dataclasses import dataclass, field

from shoal_common.config import ServerConfig, require_at_least


def _default_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True)
class WorkerConfig(ServerConfig):
    """A worker: `listen` answers health checks only.

    Raises:
        InvalidArgument: CONFIG_INVALID when a number is out of range.
    """

    orchestrator_target: str = "127.0.0.1:7105"
    """gRPC target of the orchestrator that hands out tasks."""
    labels_target: str = "127.0.0.1:7104"
    """gRPC target of the label store that results are committed to."""
    serving_target: str = "127.0.0.1:7102"
    """gRPC target of the serving control plane that says where models are."""
    allowed_roots: tuple[str, ...] = ()
    """Folders that videos may lie in."""
    worker_id: str = field(default_factory=_default_worker_id)
    """Name among workers, for logs and people."""
    decode_thread_count: int = 1
    """Threads of a video's decoder; inference wants the rest."""
    decode_stall_seconds: float = 300.0
    """A frame that takes longer means a decoder that is stuck: the worker ends, to be started
    again, and its task is given to another. More is needed only where whole hours lie between
    keyframes."""
    in_flight_request_count: int = 3
    """Requests that the engine has at the same time: some run, one waits."""

    def __post_init__(self) -> None:
        require_at_least(
            self, decode_thread_count=1, in_flight_request_count=1, decode_stall_seconds=1
        )

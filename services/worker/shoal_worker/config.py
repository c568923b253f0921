"""Configuration of a worker's process."""

import os
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from shoal_common.config import ServerConfig, require_at_least


def _default_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _default_runs_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"shoal-runs-{os.getuid()}"


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
    training_task_count: int = 1
    """Networks that are trained at the same time, beside tracking. 0: this worker trains none."""
    trainer_command: tuple[str, ...] = ()
    """What runs the training program: a command and its first arguments. Empty: the shoal_training
    that is installed beside the worker."""
    trainer_stall_seconds: float = 300.0
    """A trainer that is not heard of for so long is killed, and its task is given to another. It
    sends a heartbeat every few seconds, but says nothing while it reads large files of labels."""
    runs_folder: Path = field(default_factory=_default_runs_folder)
    """Folder for runs while they are trained, with room for their caches; at most 80 characters
    long. The orchestrator keeps what must stay."""
    artifact_interval_seconds: float = 2.0
    """Time between two looks for checkpoints, pictures and logs to upload."""

    def __post_init__(self) -> None:
        require_at_least(
            self,
            decode_thread_count=1,
            in_flight_request_count=1,
            decode_stall_seconds=1,
            training_task_count=0,
            trainer_stall_seconds=0.1,
            artifact_interval_seconds=0.01,
        )

"""Configuration of the tracking service."""

from dataclasses import dataclass

from shoal_common.config import ServerConfig, require_at_least


@dataclass(frozen=True)
class TrackingConfig(ServerConfig):
    """The tracking service.

    Raises:
        InvalidArgument: CONFIG_INVALID when a number is out of range.
    """

    serving_target: str = "127.0.0.1:7102"
    """gRPC target of the serving control plane that says where models are."""
    allowed_roots: tuple[str, ...] = ()
    """Folders that videos named by reference may lie in."""
    max_session_count: int = 64
    """Sessions served at once; the next one gets RESOURCE_EXHAUSTED."""
    in_flight_frame_count: int = 4
    """Frames of one session that are being inferred at the same time."""
    live_frame_count: int = 1
    """The same for a session in which the latest frame wins; more of them are more frames a
    second, each of them later."""

    def __post_init__(self) -> None:
        require_at_least(self, max_session_count=1, in_flight_frame_count=1, live_frame_count=1)

"""Configuration of the tracking service."""

from dataclasses import dataclass

from shoal_common.config import ServerConfig


@dataclass(frozen=True)
class TrackingConfig(ServerConfig):
    """The tracking service."""

    serving_target: str = "127.0.0.1:7102"
    """gRPC target of the serving control plane that says where models are."""
    allowed_roots: tuple[str, ...] = ()
    """Folders that videos named by reference may lie in."""
    max_session_count: int = 64
    """Sessions served at once; the next one gets RESOURCE_EXHAUSTED."""
    in_flight_frame_count: int = 4
    """Frames of one session that are being inferred at the same time."""

"""Configuration of shoal-decode."""

import dataclasses

from shoal_common.config import ServerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeConfig(ServerConfig):
    """Which videos may be read, and how many at once."""

    allowed_roots: tuple[str, ...] = ()
    """Folders that videos may lie in."""
    max_open_videos: int = 16
    """Videos open at once, each with a decoder and a thread; one more gets RESOURCE_EXHAUSTED
    while all are in use."""

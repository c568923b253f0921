"""Configuration of shoal-decode."""

import dataclasses

from shoal_common.config import ServerConfig, require_at_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeConfig(ServerConfig):
    """Which videos may be read, and how many at once.

    Raises:
        InvalidArgument: CONFIG_INVALID when max_open_videos is not positive.
    """

    allowed_roots: tuple[str, ...] = ()
    """Folders that videos may lie in."""
    max_open_videos: int = 16
    """Videos open at once, each with a decoder and a thread; one more gets RESOURCE_EXHAUSTED
    while all are in use."""

    def __post_init__(self) -> None:
        require_at_least(self, max_open_videos=1)

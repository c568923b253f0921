"""Configuration of shoal-decode."""

import dataclasses

from shoal_common.config import ServerConfig
from shoal_core.errors import InvalidArgument


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
        if self.max_open_videos < 1:
            raise InvalidArgument(
                "CONFIG_INVALID",
                f"Configuration key 'max_open_videos' is {self.max_open_videos}; give at least 1.",
                key="max_open_videos",
            )

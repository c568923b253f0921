"""Writers of videos."""

from shoal_media.writers.video import VideoWriter

__all__ = ["VideoWriter"]

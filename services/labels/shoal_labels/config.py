"""Configuration of the label store."""

from dataclasses import dataclass
from pathlib import Path

from shoal_common.config import ServerConfig


@dataclass(frozen=True, kw_only=True)
class LabelsConfig(ServerConfig):
    """The label store."""

    home: Path
    """Shoal's folder on a local disk; the label store keeps everything in `labels/` below it."""
    allowed_roots: tuple[str, ...] = ()
    """Folders that callers may import files from and export files to."""
    video_folders: tuple[str, ...] = ()
    """Folders in which an import looks for videos that are not where the labels say they are."""

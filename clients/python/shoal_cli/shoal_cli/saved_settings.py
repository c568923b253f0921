"""What --save-config writes: one document for all videos of a command."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shoal_cli.track_settings import TrackSettings, settings_from_document


def saved_settings(documents: Sequence[Mapping[str, Any]], asked: TrackSettings) -> TrackSettings:
    """Returns the settings that give the results of some jobs again.

    Where the jobs' frames or centroids differ, because their videos do, they stay as the command
    has said them, with absolute paths.

    Args:
        documents: Of the jobs of one command, one for each video.
        asked: What the command said.
    """
    first, *others = map(settings_from_document, documents)
    if any(other.frames != first.frames for other in others):
        first = replace(first, frames=asked.frames, only=asked.only, labels=_absolute(asked.labels))
    if any(other.centroids != first.centroids for other in others):
        first = replace(first, centroids=_absolute(asked.centroids))
    return first


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())

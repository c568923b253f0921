"""Chooses the reader for a path."""

from pathlib import Path

from shoal_core.errors import NotFound
from shoal_media.frames import Channels
from shoal_media.readers.container import ContainerReader
from shoal_media.readers.image_folder import ImageFolderReader
from shoal_media.readers.reader import VideoReader


def open_video(
    path: str | Path, *, channels: Channels | None = None, thread_count: int = 1
) -> VideoReader:
    """Returns a reader of the video file or of the folder of images at `path`.

    Args:
        path: A file that FFmpeg can demux (mp4, avi, mov, mkv, ...) or a folder of images.
        channels: 1 for gray, 3 for RGB; None gives 1 for a gray video and 3 for a colour one.
        thread_count: Decoding threads (at least 1). More than one decodes frames in parallel,
            which helps long sequential reads and slows single random reads a little.

    Raises:
        NotFound: VIDEO_NOT_FOUND when nothing is there.
        InvalidArgument: VIDEO_EMPTY (no bytes, no frames, no images) or VIDEO_UNREADABLE
            (not a video, or its index was lost when it was cut off).
        PermissionDenied: VIDEO_FORBIDDEN when the file may not be read.
    """
    path = Path(path)
    if not path.exists():
        raise NotFound(
            "VIDEO_NOT_FOUND", f"There is no video at {path}; check the path.", path=path
        )
    if path.is_dir():
        return ImageFolderReader(path, channels=channels)
    return ContainerReader(path, channels=channels, thread_count=thread_count)

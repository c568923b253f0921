"""Exact video readers: `open_video` finds the one that fits."""

from shoal_media.frames import Channels
from shoal_media.readers.opening import open_video
from shoal_media.readers.reader import VideoInfo, VideoReader

__all__ = ["Channels", "VideoInfo", "VideoReader", "open_video"]

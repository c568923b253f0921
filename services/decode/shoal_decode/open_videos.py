"""Videos that are open, each on a thread of its own.

Opening a video means demuxing all of it, so one that is no longer used stays open for the next
caller until its place is needed. A reader may be used by one thread only; here it never leaves
the thread that opened it.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shoal_core.errors import ResourceExhausted
from shoal_core.video_path import split_dataset

if TYPE_CHECKING:
    from shoal_media.readers import Channels, VideoInfo, VideoReader

Result = TypeVar("Result")


@dataclass(frozen=True)
class VideoKey:
    """What must be equal for an open reader to serve another caller."""

    path: Path
    channels: "Channels | None"
    """1 (gray), 3 (RGB) or None, as the video has."""
    signature: tuple[int, ...]
    """Inode, size and time of change: a file that is replaced is opened anew."""


class OpenVideo:
    """A reader and its thread."""

    def __init__(self, key: VideoKey) -> None:
        self.key = key
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shoal-decode")
        self._reader: VideoReader | None = None

    async def open(self) -> None:
        """Opens the video.

        Raises:
            NotFound, InvalidArgument, PermissionDenied: as `shoal_media.readers.open_video`.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open_reader)

    def close(self) -> None:
        """Closes the reader as soon as its thread is free; does not wait."""
        self._thread.submit(self._close_reader)
        self._thread.shutdown(wait=False)

    @property
    def info(self) -> "VideoInfo":
        """What is known of the video."""
        return self._opened.info

    async def results(
        self, make: "Callable[[VideoReader, int], Result]", frame_indices: Iterable[int]
    ) -> AsyncGenerator[Result, None]:
        """Yields `make(reader, frame_index)` for each index, in order.

        While the caller has one result, the next one is made on the video's thread; when the
        caller stops iterating, decoding stops.
        """
        loop = asyncio.get_running_loop()
        running: deque[asyncio.Future[Result]] = deque()
        try:
            for frame_index in frame_indices:
                running.append(loop.run_in_executor(self._thread, make, self._opened, frame_index))
                if len(running) > 1:
                    yield await running.popleft()
            while running:
                yield await running.popleft()
        finally:
            for future in running:
                future.cancel()

    @property
    def _opened(self) -> "VideoReader":
        assert self._reader is not None, "open() comes first"
        return self._reader

    def _open_reader(self) -> None:
        from shoal_media.readers import open_video

        self._reader = open_video(self.key.path, channels=self.key.channels)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()


class OpenVideos:
    """At most `limit` open videos; those that nobody uses are closed first, oldest first."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        """Videos that may be open at once."""
        self._idle: list[OpenVideo] = []
        self.busy_count = 0
        """Videos that are being read."""

    @property
    def idle_count(self) -> int:
        """Videos that are kept open for the next caller."""
        return len(self._idle)

    @asynccontextmanager
    async def borrow(self, path: Path, channels: "Channels | None") -> AsyncIterator[OpenVideo]:
        """Gives the video to one caller.

        Raises:
            ResourceExhausted: TOO_MANY_OPEN_VIDEOS when all places are in use.
            NotFound, InvalidArgument, PermissionDenied: as `shoal_media.readers.open_video`.
        """
        key = VideoKey(path, channels, await asyncio.to_thread(_signature, path))
        video = self._take_idle(key)
        self.busy_count += 1
        try:
            if video is None:
                self._make_room()
                video = await _open(key)
            yield video
        finally:
            self.busy_count -= 1
            if video is not None:
                self._idle.append(video)

    def close(self) -> None:
        """Closes every video that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self, key: VideoKey) -> OpenVideo | None:
        for place, video in enumerate(self._idle):
            if video.key == key:
                return self._idle.pop(place)
        return None

    def _make_room(self) -> None:
        if self.busy_count > self.limit:
            raise ResourceExhausted(
                "TOO_MANY_OPEN_VIDEOS",
                f"{self.limit} videos are being read; try again later or raise max_open_videos.",
                limit=self.limit,
            )
        while self.busy_count + len(self._idle) > self.limit:
            self._idle.pop(0).close()


async def _open(key: VideoKey) -> OpenVideo:
    video = OpenVideo(key)
    is_open = False
    try:
        await video.open()
        is_open = True
    finally:
        if not is_open:
            video.close()
    return video


def _signature(path: Path) -> tuple[int, ...]:
    """Returns nothing for a path that cannot be looked at; opening it says why."""
    try:
        status = os.stat(split_dataset(str(path))[0])
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns)

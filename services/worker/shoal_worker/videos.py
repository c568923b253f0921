"""Videos that the worker has open, each decoded on the one decoding thread."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal.common.v1 import video_pb2
from shoal_common.roots import AllowedRoots
from shoal_common.watchdog import Watchdog
from shoal_core.errors import DataLoss, FailedPrecondition
from shoal_media.readers import VideoReader, open_video

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_OPEN_SECONDS = 3600.0
"""Opening reads a whole file once, or decodes it where its container does not tell the order."""


class Videos:
    """Keeps the video of the last task open, since the next task is most likely its successor."""

    def __init__(self, *, roots: AllowedRoots, thread_count: int, watchdog: Watchdog) -> None:
        self._roots = roots
        self._thread_count = thread_count
        self._watchdog = watchdog
        # A reader belongs to one thread, and two decoders would only fight over the caches.
        self._decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
        self._reader: VideoReader | None = None

    async def open(self, video: video_pb2.Video) -> VideoReader:
        """Returns the reader of a job's video.

        Raises:
            FailedPrecondition: VIDEO_CHANGED when the file is not the one that the job was
                created for.
        """
        return await self._on_decoder(self._open, video)

    async def read_into(
        self, reader: VideoReader, frame_indices: Sequence[int], frames_BHWC: NDArray[np.uint8]
    ) -> list[int]:
        """Decodes frames straight into `frames_BHWC`, for example slots of the ring.

        Returns:
            The frames that could be read, which lie in the first places; one that is damaged
            does not end a video.
        """
        return await self._on_decoder(self._read_into, reader, frame_indices, frames_BHWC)

    async def aclose(self) -> None:
        """Closes the open video and ends the decoding thread."""
        await self._on_decoder(self._close)
        self._decoder.shutdown()

    async def _on_decoder(self, function: Callable[..., Result], *arguments: object) -> Result:
        running = asyncio.get_running_loop().run_in_executor(self._decoder, function, *arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # A thread cannot be stopped: whoever gives up waits, so that it writes nowhere later.
            await asyncio.wait({running})
            raise

    def _open(self, video: video_pb2.Video) -> VideoReader:
        path = self._roots.resolve(video.uri)
        # Every worker shows the levels that were recorded, whatever it would choose itself.
        window = (video.window.low, video.window.high) if video.HasField("window") else None
        last = self._reader
        if last is not None and (last.info.path, last.info.content_hash, last.info.window) == (
            path,
            video.content_hash,
            window,
        ):
            return last
        self._close()
        with self._watchdog.watching(f"opening {path}", limit_seconds=_OPEN_SECONDS):
            reader = open_video(path, thread_count=self._thread_count, window=window)
        if reader.info.content_hash != video.content_hash:
            reader.close()
            raise FailedPrecondition(
                "VIDEO_CHANGED",
                f"{path} has changed since the job was created; track it anew.",
                path=path,
            )
        self._reader = reader
        return reader

    def _read_into(
        self, reader: VideoReader, frame_indices: Sequence[int], frames_BHWC: NDArray[np.uint8]
    ) -> list[int]:
        read: list[int] = []
        for frame_index in frame_indices:
            with self._watchdog.watching(f"decoding frame {frame_index} of {reader.info.path}"):
                try:
                    reader.read_into(frame_index, frames_BHWC[len(read)])
                except DataLoss as error:
                    logger.warning("%s: %s", reader.info.path, error.message)
                else:
                    read.append(frame_index)
        return read

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

"""Decodes ahead on a thread, straight into the caller's buffers.

The caller decides where pixels go (a slot of shared memory, a plain array) and how many
buffers there are; the decoder's last step writes into them, which is the only copy.

Axis legend: B frames of one buffer, H height, W width, C channels.
"""

from collections import deque
from collections.abc import Callable, Iterable
from threading import Condition, Thread
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal_media.readers.reader import VideoReader


class FrameBuffer(Protocol):
    """Anything that offers room for frames."""

    @property
    def pixels_BHWC(self) -> NDArray[np.uint8]:
        """C-contiguous uint8 [B, H, W, C], B at least the length of the range it is filled with."""
        ...


BufferT = TypeVar("BufferT", bound=FrameBuffer)


def fill(reader: VideoReader, frame_range: range, buffer: FrameBuffer) -> None:
    """Decodes the frames of `frame_range` into the first places of the buffer.

    Raises:
        OutOfRange, DataLoss, InvalidArgument: as `VideoReader.read_into`.
    """
    pixels_BHWC = buffer.pixels_BHWC
    for place, frame_index in enumerate(frame_range):
        reader.read_into(frame_index, pixels_BHWC[place])


class Prefetcher(Generic[BufferT]):
    """Iterates over (frame range, filled buffer) while a thread decodes the next ones.

    Bounded: at most `depth` filled buffers wait; when they do, decoding waits. Nothing is ever
    dropped. An error of the decoder is raised by the iteration, after the ranges before it.
    The reader belongs to the thread until `close` returns. `with` closes.
    """

    def __init__(
        self,
        reader: VideoReader,
        frame_ranges: Iterable[range],
        acquire: Callable[[range], BufferT | None],
        *,
        depth: int = 2,
    ) -> None:
        """Starts decoding.

        Args:
            reader: Where the frames come from.
            frame_ranges: What to decode, in order; one buffer each.
            acquire: Called on the decoding thread for each range; may block until a buffer is
                free; None ends the iteration. Before `close`, see to it that it returns.
            depth: Filled buffers that may wait for the consumer (at least 1).
        """
        self._reader = reader
        self._frame_ranges = frame_ranges
        self._acquire = acquire
        self._depth = depth
        self._changed = Condition()
        self._filled: deque[tuple[range, BufferT]] = deque()
        self._error: BaseException | None = None
        self._is_done = False
        self._is_closed = False
        self._thread = Thread(target=self._decode, name="shoal-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[range, BufferT]:
        with self._changed:
            self._changed.wait_for(lambda: self._filled or self._is_done)
            if self._filled:
                self._changed.notify_all()
                return self._filled.popleft()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            raise StopIteration

    def close(self) -> list[BufferT]:
        """Ends the thread; returns the filled buffers that nobody took, for release."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        left = [buffer for _, buffer in self._filled]
        self._filled.clear()
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _decode(self) -> None:
        error: BaseException | None = None
        try:
            for frame_range in self._frame_ranges:
                if not self._has_room():
                    break
                buffer = self._acquire(frame_range)
                if buffer is None:
                    break
                fill(self._reader, frame_range, buffer)
                self._hand_over(frame_range, buffer)
        except BaseException as caught:  # noqa: BLE001 -- raised again by the consumer
            error = caught
        with self._changed:
            self._error = error
            self._is_done = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Waits until a filled buffer more may wait; False if closed meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._filled) < self._depth)
            return not self._is_closed

    def _hand_over(self, frame_range: range, buffer: BufferT) -> None:
        with self._changed:
            self._filled.append((frame_range, buffer))
            self._changed.notify_all()

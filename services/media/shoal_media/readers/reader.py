"""What every reader offers: exact frames by index, alone or in order.

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB), F frames, K keyframes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import FailedPrecondition, InvalidArgument, OutOfRange
from shoal_media.frames import Channels
from shoal_media.readers.window import Window


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """What is known of a video once it is open."""

    path: Path
    frame_count: int
    """Frames that can be read; indices run from 0 to frame_count - 1."""
    height_px: int
    width_px: int
    """Size of the frames as they are read, after the rotation that the container asks for."""
    fps: float | None
    """Nominal frames per second; None for images, stacks and datasets, which have no clock."""
    is_gray: bool
    """True if red, green and blue are equal in the first, a middle and the last keyframe."""
    keyframe_indices_K: NDArray[np.int64]
    """Frames at which decoding can start, in order; every frame of images, stacks and datasets."""
    content_hash: str
    """Hash of the size and of sampled blocks; see `shoal_media.content_hash`."""
    missing_frame_count: int | None
    """Frames lost with a broken tail (cut-off file); 0 for a whole file; None if the tail is
    broken and the container does not say how many frames there should be."""
    window: Window | None = None
    """16-bit pixels: the levels (low, high) that are shown as 0 and 255. None for 8 bits."""
    has_gaps: bool = False
    """Whether the frames of `keyframe_indices_K` are the only ones: those that a `.pkg.slp`
    embeds, or that the camera of an imgstore did not skip."""

    @property
    def has_broken_tail(self) -> bool:
        """Whether the file ends before its last frame."""
        return self.missing_frame_count != 0

    def frames_between(self, start: int, stop: int) -> Sequence[int]:
        """Returns the frames from `start` to `stop` - 1 that the video has, in order."""
        if not self.has_gaps:
            return range(start, stop)
        first, end = np.searchsorted(self.keyframe_indices_K, (start, stop))
        frames: list[int] = self.keyframe_indices_K[first:end].tolist()
        return frames


class VideoReader(ABC):
    """Reads frames of one video. Not thread-safe: one reader per thread.

    Reading index i + 1 after i continues the decoder, without a seek. `with` closes it.
    """

    def __init__(self, info: VideoInfo, channels: Channels | None) -> None:
        self._info = info
        self._channels: Channels = channels or (1 if info.is_gray else 3)
        self._is_closed = False

    @property
    def info(self) -> VideoInfo:
        """What is known of the video."""
        return self._info

    @property
    def channels(self) -> Channels:
        """Channels C of the frames that this reader returns."""
        return self._channels

    @property
    def frame_shape_HWC(self) -> tuple[int, int, int]:
        """Shape of every frame."""
        return (self._info.height_px, self._info.width_px, self._channels)

    def read(self, frame_index: int) -> NDArray[np.uint8]:
        """Returns frame `frame_index` as a new array [H, W, C]; see `read_into`."""
        frame_HWC = np.empty(self.frame_shape_HWC, np.uint8)
        self.read_into(frame_index, frame_HWC)
        return frame_HWC

    def read_into(self, frame_index: int, out_HWC: NDArray[np.uint8]) -> None:
        """Writes frame `frame_index` into `out_HWC`, for example a slot of shared memory.

        The pixels are written once: the last step of the conversion ends in `out_HWC`.

        Raises:
            OutOfRange: FRAME_OUT_OF_RANGE.
            OutOfRange: FRAME_NOT_EMBEDDED when a `.pkg.slp` does not hold this frame,
                FRAME_NOT_STORED when the camera of an imgstore skipped its number.
            DataLoss: FRAME_UNREADABLE when the bytes of this frame are damaged.
            InvalidArgument: BUFFER_MISMATCH when `out_HWC` is not C-contiguous uint8 of
                `frame_shape_HWC`.
            FailedPrecondition: VIDEO_CLOSED.
        """
        self._check(frame_index)
        if (
            out_HWC.shape != self.frame_shape_HWC
            or out_HWC.dtype != np.uint8
            or not out_HWC.flags.c_contiguous
        ):
            raise InvalidArgument(
                "BUFFER_MISMATCH",
                f"A frame of {self._info.path.name} needs a contiguous uint8 buffer of shape "
                f"{self.frame_shape_HWC}, not {out_HWC.dtype} {out_HWC.shape}.",
                shape=out_HWC.shape,
            )
        self._decode_into(frame_index, out_HWC)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yields frames `start` to `stop` - 1 (default: the last), each a new array [H, W, C].

        Raises:
            OutOfRange, DataLoss, FailedPrecondition: as `read_into`.
        """
        return (
            frame_HWC
            for _, frame_HWC in self.frames_into(
                start, stop, lambda: np.empty(self.frame_shape_HWC, np.uint8)
            )
        )

    def frames_into(
        self, start: int, stop: int | None, next_buffer: Callable[[], NDArray[np.uint8]]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yields (frame index, buffer [H, W, C]); each frame lands in the next buffer.

        Args:
            start: First frame.
            stop: One past the last frame; None for the end of the video.
            next_buffer: Called once per frame, before it is decoded.
        """
        stop = self._info.frame_count if stop is None else stop
        if start < stop:
            self._check(start)
            self._check(stop - 1)
        for frame_index in range(start, stop):
            buffer_HWC = next_buffer()
            self.read_into(frame_index, buffer_HWC)
            yield frame_index, buffer_HWC

    def time_ms(self, frame_index: int) -> float:
        """Returns when a frame is shown, in milliseconds from the first; 0 without a clock.

        Raises:
            OutOfRange: FRAME_OUT_OF_RANGE.
            FailedPrecondition: VIDEO_CLOSED.
        """
        self._check(frame_index)
        return self._time_ms(frame_index)

    def close(self) -> None:
        """Frees the decoder and the file; further reads fail with VIDEO_CLOSED."""
        if not self._is_closed:
            self._is_closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, frame_index: int) -> None:
        if self._is_closed:
            raise FailedPrecondition(
                "VIDEO_CLOSED",
                f"{self._info.path.name} was closed; open it again.",
                path=self._info.path,
            )
        if not 0 <= frame_index < self._info.frame_count:
            raise OutOfRange(
                "FRAME_OUT_OF_RANGE",
                f"Frame {frame_index} is outside {self._info.path.name}, which has frames 0 to "
                f"{self._info.frame_count - 1}.",
                frame_index=frame_index,
                frame_count=self._info.frame_count,
                path=self._info.path,
            )

    def _time_ms(self, frame_index: int) -> float:
        """Returns the time by the nominal frame rate, for a video that keeps no other."""
        return 1000 * frame_index / self._info.fps if self._info.fps else 0.0

    @abstractmethod
    def _decode_into(self, frame_index: int, out_HWC: NDArray[np.uint8]) -> None:
        """Writes a frame that exists into a buffer that fits."""

    @abstractmethod
    def _release(self) -> None:
        """Frees what the reader holds; called once."""

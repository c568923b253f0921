"""Videos that are stored as single pictures: folders, stacks and datasets.

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB), K readable frames.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import DataLoss, InvalidArgument
from shoal_media.frames import Channels, Pixels, with_channels
from shoal_media.readers.reader import VideoInfo, VideoReader
from shoal_media.readers.window import (
    WINDOW_SAMPLE_COUNT,
    Window,
    Windowing,
    dynamic_range,
    evenly_spaced,
    window_refused,
)


@dataclass(frozen=True, eq=False)
class StoredFrames:
    """Which pictures a store holds."""

    path: Path
    """As it was given, with the dataset where one was named."""
    frame_count: int
    readable_indices_K: NDArray[np.int64]
    """Frames that are there, in order; see `VideoInfo.has_gaps`."""
    content_hash: str
    missing_frame_count: int | None = 0
    """As `VideoInfo.missing_frame_count`."""
    fps: float | None = None
    """Nominal frames per second, where the store has a clock."""


class FrameStore(ABC):
    """Gives pictures by frame index, with as many bits as they are stored with."""

    frames: StoredFrames

    @abstractmethod
    def pixels(self, frame_index: int) -> Pixels:
        """Returns a picture [H, W, C], uint8 or uint16.

        Raises:
            DataLoss: FRAME_UNREADABLE.
            OutOfRange: FRAME_NOT_EMBEDDED or FRAME_NOT_STORED.
        """

    @abstractmethod
    def name_of(self, frame_index: int) -> str:
        """Returns what to call a picture in a message: its file, or its place in one."""

    def time_ms(self, frame_index: int) -> float | None:
        """Returns when a picture was taken, from the first; None where that is not stored."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file."""


class StoredReader(VideoReader):
    """Frames of a store, 8 bits a channel; see `open_video` for arguments and errors."""

    def __init__(
        self, store: FrameStore, *, channels: Channels | None, window: Window | None
    ) -> None:
        self._store = store
        try:
            first = (self._sampled(1) or self._required_samples())[0]
            self._dtype = first.dtype
            self._windowing = self._chosen_windowing(window)
            super().__init__(self._describe(first.shape[0], first.shape[1]), channels)
        except BaseException:
            store.close()
            raise

    def _describe(self, height_px: int, width_px: int) -> VideoInfo:
        frames = self._store.frames
        frames.readable_indices_K.flags.writeable = False
        return VideoInfo(
            path=frames.path,
            frame_count=frames.frame_count,
            height_px=height_px,
            width_px=width_px,
            fps=frames.fps,
            is_gray=all((frame == frame[..., :1]).all() for frame in self._sampled(3)),
            keyframe_indices_K=frames.readable_indices_K,
            content_hash=frames.content_hash,
            missing_frame_count=frames.missing_frame_count,
            window=None if self._windowing is None else self._windowing.window,
            has_gaps=len(frames.readable_indices_K) != frames.frame_count,
        )

    def _chosen_windowing(self, window: Window | None) -> Windowing | None:
        if self._dtype == np.uint16:
            return Windowing(dynamic_range(self._required_samples()) if window is None else window)
        if window is not None:
            raise window_refused(self._store.frames.path)
        return None

    def _sampled(self, count: int) -> list[Pixels]:
        """Returns evenly spaced pictures, the first and the last among them, if readable."""
        indices_K = self._store.frames.readable_indices_K
        samples = []
        for place in evenly_spaced(len(indices_K), count):
            with suppress(DataLoss):  # A damaged picture is reported when it is asked for.
                samples.append(self._store.pixels(int(indices_K[place])))
        return samples

    def _required_samples(self) -> list[Pixels]:
        samples = self._sampled(WINDOW_SAMPLE_COUNT)
        if not samples:
            frames = self._store.frames
            name = self._store.name_of(int(frames.readable_indices_K[0]))
            raise InvalidArgument(
                "VIDEO_UNREADABLE",
                f"{frames.path} holds no usable picture; {name}, for one, is damaged; copy it "
                "again.",
                path=frames.path,
            )
        return samples

    def _decode_into(self, frame_index: int, out_HWC: NDArray[np.uint8]) -> None:
        stored_HWC = self._store.pixels(frame_index)
        self._check_picture(frame_index, stored_HWC)
        if self._info.is_gray and stored_HWC.shape[2] > self._channels:
            stored_HWC = stored_HWC[..., :1]
        if self._windowing is None:
            np.copyto(
                out_HWC, with_channels(stored_HWC.astype(np.uint8, copy=False), self._channels)
            )
        elif stored_HWC.shape == out_HWC.shape:
            self._windowing.apply_into(stored_HWC, out_HWC)
        else:
            shown_HWC = np.empty(stored_HWC.shape, np.uint8)
            self._windowing.apply_into(stored_HWC, shown_HWC)
            np.copyto(out_HWC, with_channels(shown_HWC, self._channels))

    def _check_picture(self, frame_index: int, stored_HWC: Pixels) -> None:
        height, width, _ = stored_HWC.shape
        size_px = (self._info.height_px, self._info.width_px)
        if (height, width) == size_px and stored_HWC.dtype == self._dtype:
            return
        raise DataLoss(
            "FRAME_UNREADABLE",
            f"{self._store.name_of(frame_index)} has {width}x{height} px of {stored_HWC.dtype}, "
            f"the first frame has {size_px[1]}x{size_px[0]} px of {self._dtype}; keep one size "
            "and depth in a video.",
            frame_index=frame_index,
            path=self._info.path,
        )

    def _time_ms(self, frame_index: int) -> float:
        time_ms = self._store.time_ms(frame_index)
        return super()._time_ms(frame_index) if time_ms is None else time_ms

    def _release(self) -> None:
        self._store.close()


def all_indices(frame_count: int) -> NDArray[np.int64]:
    """Returns the indices of a store in which every frame is there."""
    return np.arange(frame_count, dtype=np.int64)


def unreadable_frame(frame_index: int, name: str, cure: str) -> DataLoss:
    """Returns the error of a picture that is damaged."""
    return DataLoss(
        "FRAME_UNREADABLE",
        f"Frame {frame_index} cannot be read from {name}; {cure}.",
        frame_index=frame_index,
    )

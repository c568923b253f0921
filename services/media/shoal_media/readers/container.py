"""Reads mp4, mov, avi, mkv and whatever else FFmpeg demuxes, through PyAV.

Opening demuxes the whole file once, without decoding it, to learn which packets there are and
in which order they are shown. Where a container does not tell that order (AVI and raw streams
with B-frames: their presentation times are missing or guessed wrongly), the video is decoded
once instead.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import DataLoss, InvalidArgument, ShoalError
from shoal_media.content_hash import hash_file
from shoal_media.frames import Channels
from shoal_media.readers.decoded_order import decoded_order
from shoal_media.readers.deep_gray import DeepGrayConverter, is_deep_gray, levels
from shoal_media.readers.frame_decoder import FrameDecoder
from shoal_media.readers.packet_index import NO_TIMESTAMP, PacketIndex, presentation_order
from shoal_media.readers.packet_source import PacketSource, unreadable
from shoal_media.readers.picture_converter import PictureConverter
from shoal_media.readers.pixels import PixelConverter
from shoal_media.readers.reader import VideoInfo, VideoReader
from shoal_media.readers.strictness import refuses_intact_packets
from shoal_media.readers.window import (
    WINDOW_SAMPLE_COUNT,
    Window,
    dynamic_range,
    evenly_spaced,
    window_refused,
)

_TIMED_FORMATS = frozenset({"mov", "matroska", "webm", "mpegts"})


class ContainerReader(VideoReader):
    """Frames of a video file; see `open_video` for arguments and errors."""

    def __init__(
        self,
        path: Path,
        *,
        channels: Channels | None,
        thread_count: int,
        window: Window | None = None,
    ) -> None:
        if thread_count < 1:
            raise InvalidArgument(
                "THREADS_OUT_OF_RANGE",
                f"A video is decoded by at least 1 thread, not {thread_count}.",
                thread_count=thread_count,
            )
        self._source = PacketSource(path, thread_count=thread_count)
        try:
            self._decoder, missing = _decoder_of_readable_part(path, self._source)
            self._tells_times = _tells_times(self._source)
            self._pixels = _converter(path, self._decoder, window)
            super().__init__(self._describe(path, missing), channels)
        except ShoalError:
            self._source.close()
            raise

    def _describe(self, path: Path, missing_frame_count: int | None) -> VideoInfo:
        index = self._decoder.index
        height, width = self._pixels.size_px
        rate = self._source.stream.average_rate
        keyframe_indices_K = index.keyframe_indices
        keyframe_indices_K.flags.writeable = False
        return VideoInfo(
            path=path,
            frame_count=index.frame_count,
            height_px=height,
            width_px=width,
            fps=None if not rate else float(rate),
            is_gray=self._pixels.is_gray,
            keyframe_indices_K=keyframe_indices_K,
            content_hash=hash_file(path),
            missing_frame_count=missing_frame_count,
            window=self._pixels.window,
        )

    def _decode_into(self, frame_index: int, out_HWC: NDArray[np.uint8]) -> None:
        self._pixels.convert_into(self._decoder.frame(frame_index), out_HWC)

    def _time_ms(self, frame_index: int) -> float:
        if not self._tells_times:
            return super()._time_ms(frame_index)
        packets_F = self._decoder.index.packets_F
        first, ticks = self._source.table.pts_P[packets_F[[0, frame_index]]]
        return 1000 * float(ticks - first) * float(self._source.stream.time_base)

    def _release(self) -> None:
        self._decoder.release()
        self._source.close()


def _decoder_of_readable_part(path: Path, source: PacketSource) -> tuple[FrameDecoder, int | None]:
    """Returns a decoder whose index ends with the last frame that decodes, and the loss.

    The loss is the number of frames missing at the end, None if unknown (see VideoInfo).
    """
    index = _index(path, source)
    if index.frame_count == 0:
        raise unreadable(path, "has no frame that can be decoded; record it again")
    if refuses_intact_packets(source, index):
        source.reopen(is_strict=False)
    announced_packet_count = _announced_packet_count(source)
    if announced_packet_count == source.table.packet_count and not _is_cut_off(source):
        return FrameDecoder(source, index), 0
    readable = index.cut(_last_readable(FrameDecoder(source, index)) + 1)
    lost_in_index = index.frame_count - readable.frame_count + int(source.table.is_cut_P.sum())
    if announced_packet_count == source.table.packet_count:
        return FrameDecoder(source, readable), lost_in_index or None
    lost = announced_packet_count - source.table.packet_count + lost_in_index
    return FrameDecoder(source, readable), lost


def _last_readable(decoder: FrameDecoder) -> int:
    """Returns the last frame that can be decoded; the first if none can."""
    for keyframe_index in reversed(decoder.index.keyframe_indices.tolist()):
        last = decoder.last_readable(keyframe_index)
        if last >= 0:
            return last
    return max(0, decoder.last_readable(0))


def _index(path: Path, source: PacketSource) -> PacketIndex:
    table = source.table
    if _tells_times(source):
        return PacketIndex.from_order(table, presentation_order(table))
    if not source.stream.codec_context.has_b_frames:
        return PacketIndex.from_order(table, np.arange(table.packet_count))
    thread_count = source.thread_count
    source.reopen(is_strict=False)
    order = decoded_order(source)
    source.reopen(is_strict=True, thread_count=thread_count)
    if order is None:
        raise unreadable(
            path, "shows several frames of one packet; convert it with ffmpeg to H.264 in mp4"
        )
    return PacketIndex.from_order(table, order, is_learnt=True)


def _tells_times(source: PacketSource) -> bool:
    """Whether the container holds a true presentation time for every packet."""
    formats = set(source.container.format.name.split(","))
    return source.table.has_unique_pts and bool(formats & _TIMED_FORMATS)


def _converter(path: Path, decoder: FrameDecoder, window: Window | None) -> PictureConverter:
    """Returns what converts the pictures.

    Raises:
        InvalidArgument: VIDEO_UNREADABLE, WINDOW_INVALID or WINDOW_NOT_APPLICABLE.
    """
    samples = _sample(path, decoder)
    if is_deep_gray(samples[0]):
        if window is None:
            spread = evenly_spaced(decoder.index.frame_count, WINDOW_SAMPLE_COUNT)
            window = dynamic_range(map(levels, list(_readable(decoder, spread)) or samples))
        return DeepGrayConverter(samples[0], window)
    if window is not None:
        raise window_refused(path)
    return PixelConverter(samples)


def _readable(decoder: FrameDecoder, frame_indices: Iterable[int]) -> Iterator[Any]:
    """Yields pictures, without those that are damaged: they are reported when asked for."""
    for frame_index in frame_indices:
        with suppress(DataLoss):
            yield decoder.frame(frame_index)


def _sample(path: Path, decoder: FrameDecoder) -> list[Any]:
    """Returns frame 0, the last and a middle keyframe, as far as they can be decoded."""
    keyframe_indices = decoder.index.keyframe_indices
    places = sorted({len(keyframe_indices) // 2, len(keyframe_indices) - 1} - {0, -1})
    samples = list(_readable(decoder, (int(keyframe_indices[p]) for p in reversed(places))))
    try:
        samples.insert(0, decoder.frame(0))
    except DataLoss as error:
        if not samples:
            raise unreadable(path, "has no keyframe that can be decoded; repair it") from error
    return samples


def _announced_packet_count(source: PacketSource) -> int:
    """Returns how many packets the container announces; what was found if it is silent."""
    found = source.table.packet_count
    if "mov" in source.container.format.name:
        return max(found, len(source.stream.index_entries))
    return max(found, int(source.stream.frames))


def _is_cut_off(source: PacketSource) -> bool:
    """Whether the file ends too early, also in a container that announces no frame count."""
    table = source.table
    if table.ended_with_error or table.is_cut_P.any():
        return True
    container = source.container
    is_alone = len(container.streams) == 1
    if not (is_alone and container.duration and "matroska" in container.format.name):
        return False
    shown = table.pts_P[table.pts_P != NO_TIMESTAMP]
    last_s = float(shown.max() * source.stream.time_base)
    frame_s = float(1 / source.stream.average_rate) if source.stream.average_rate else 0.0
    return bool(last_s + 2 * frame_s < container.duration / 1e6)

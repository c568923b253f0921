"""Finds and decodes single frames, so that a random read equals the sequential read.

Every packet is stamped with its ordinal before it is decoded, and the decoder hands the stamp
on to the picture: which packet a picture came from is known, not guessed from times.

A frame is decoded from the nearest keyframe that is no later than it, both in the file and on
screen. The keyframe itself must come out of the decoder; if it does not (intra refresh, where
a "keyframe" is only the start of a recovery), the keyframe before it is taken.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import av

from shoal_core.errors import DataLoss
from shoal_media.readers.packet_index import HIDDEN, PacketIndex
from shoal_media.readers.packet_source import PacketSource

_SHORT_SKIP_PACKETS = 8


class FrameDecoder:
    """Decodes frames by index; continues forward where that is the shorter way."""

    def __init__(self, source: PacketSource, index: PacketIndex) -> None:
        self._source = source
        self._index = index
        self._unclean_starts: set[int] = set()
        self._last: tuple[int, Any] | None = None
        self._pictures: Iterator[tuple[int, Any]] = iter(())
        self._waiting: deque[tuple[int, Any]] = deque()
        self._next_frame: int | None = None
        self._fed_packet = HIDDEN
        self._start_came_out = False

    @property
    def index(self) -> PacketIndex:
        """The frame index that this decoder follows."""
        return self._index

    def frame(self, frame_index: int) -> Any:
        """Returns the decoded picture (av.VideoFrame) of a frame inside the index.

        Raises:
            DataLoss: FRAME_UNREADABLE when the decoder does not give this frame.
        """
        if self._last is not None and self._last[0] == frame_index:
            return self._last[1]
        picture = self._advance_to(frame_index) if self._leads_to(frame_index) else None
        picture = self._decode_anew(frame_index) if picture is None else picture
        if picture is not None:
            self._last = (frame_index, picture)
            return picture
        raise DataLoss(
            "FRAME_UNREADABLE",
            f"Frame {frame_index} is damaged and cannot be decoded; leave it out or repair the "
            "video with ffmpeg.",
            frame_index=frame_index,
        )

    def last_readable(self, start_frame: int) -> int:
        """Decodes from a keyframe to the end; returns the last frame that came out, or -1."""
        self._restart(int(self._index.packets_F[start_frame]))
        return max((frame_index for frame_index, _ in self._pictures), default=-1)

    def release(self) -> None:
        """Lets go of the pictures that are kept."""
        self._last = None
        self._waiting.clear()
        self._pictures = iter(())
        self._next_frame = None

    def _leads_to(self, frame_index: int) -> bool:
        """Whether decoding on reaches the frame sooner than starting again."""
        if self._next_frame is None or frame_index < self._next_frame:
            return False
        if frame_index == self._next_frame:
            return True
        nearest_start = next(self._index.starts_for(frame_index))
        return nearest_start <= self._fed_packet + _SHORT_SKIP_PACKETS

    def _decode_anew(self, frame_index: int) -> Any | None:
        for start in self._index.starts_for(frame_index):
            if start in self._unclean_starts:
                continue
            self._restart(start)
            picture = self._advance_to(frame_index)
            if picture is not None or self._start_came_out:
                return picture
            self._unclean_starts.add(start)
        return None

    def _restart(self, start: int) -> None:
        self._last = None
        self._waiting.clear()
        self._start_came_out = False
        self._fed_packet = start
        self._next_frame = 0
        self._pictures = self._decode_from(start)

    def _advance_to(self, frame_index: int) -> Any | None:
        """Decodes forward; returns the picture, or None if it was passed over."""
        while True:
            if not self._waiting:
                picture = next(self._pictures, None)
                if picture is None:
                    self._next_frame = None
                    return None
                self._waiting.append(picture)
            if self._waiting[0][0] > frame_index or not self._start_came_out:
                return None
            current, picture = self._waiting.popleft()
            self._next_frame = current + 1
            if current == frame_index:
                return picture

    def _decode_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """Yields (frame index, picture) in order of presentation from a keyframe on."""
        start_rank = self._index.ranks_P[start]
        for stamp, picture in decode_stamped(self._source, start, self._note_fed):
            if self._index.ranks_P[stamp] < start_rank:
                continue
            self._start_came_out |= stamp == start or self._index.frames_P[start] == HIDDEN
            frame_index = int(self._index.frames_P[stamp])
            if frame_index != HIDDEN:
                yield frame_index, picture

    def _note_fed(self, ordinal: int) -> None:
        self._fed_packet = ordinal


def decode_stamped(
    source: PacketSource, start: int, note_fed: Callable[[int], None]
) -> Iterator[tuple[int, Any]]:
    """Yields (ordinal of its packet, picture) in order of presentation.

    Packets that the decoder refuses, or can only conceal, give no picture.

    Args:
        source: The demuxer.
        start: Ordinal of the first packet to decode.
        note_fed: Told the ordinal of each packet before it is decoded.
    """
    for ordinal, packet in source.packets_from(start):
        note_fed(ordinal)
        packet.pts = packet.dts = ordinal
        yield from _stamped(source, packet)
    yield from _stamped(source, None)


def _stamped(source: PacketSource, packet: Any | None) -> list[tuple[int, Any]]:
    """Feeds one packet (None: the end) and drops pictures that the decoder had to guess."""
    try:
        pictures = source.stream.codec_context.decode(packet)
    except av.FFmpegError:
        return []
    return [
        (picture.pts, picture)
        for picture in pictures
        if picture.pts is not None and not picture.is_corrupt
    ]

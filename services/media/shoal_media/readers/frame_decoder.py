"""Finds and decodes single frames, so that a random read equals the sequential read.

Every packet is stamped with its ordinal before it is decoded, and the decoder hands the stamp
on to the picture: which packet a picture came from is known, not guessed from times.

A frame is decoded from the nearest keyframe that is no later than it, both in the file and on
screen. The keyframe itself must come out of the decoder; if it does not (intra refresh, where
a "keyframe" is only the start of a recovery), the keyframe before it is taken.

After a packet that the decoder refuses, it would go on with guessed pixels until the next
keyframe, without a word. So decoding begins anew there, and the frames in between are damaged.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from shoal_core.errors import DataLoss
from shoal_media.readers.decoding_run import DecodingRun
from shoal_media.readers.packet_index import HIDDEN, PacketIndex
from shoal_media.readers.packet_source import PacketSource

_SHORT_SKIP_PACKETS = 8


class FrameDecoder:
    """Decodes frames by index; continues forward where that is the shorter way."""

    def __init__(self, source: PacketSource, index: PacketIndex) -> None:
        self._source = source
        self._index = index
        self._unclean_starts: set[int] = set()
        self._damaged_frames: set[int] = set()
        self._last: tuple[int, Any] | None = None
        self._pictures: Iterator[tuple[int, Any]] = iter(())
        self._waiting: deque[tuple[int, Any]] = deque()
        self._next_frame: int | None = None
        self._fed_packet = HIDDEN
        self._first_run: DecodingRun | None = None

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
        picture = None
        if frame_index not in self._damaged_frames:
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
            first_run = self._restart(start)
            picture = self._advance_to(frame_index)
            if picture is not None:
                return picture
            if not first_run.start_came_out:
                self._unclean_starts.add(start)
            elif not first_run.ended_in_first_group:
                break
        self._note_damage(frame_index)
        return None

    def _note_damage(self, frame_index: int) -> None:
        """Remembers the frames that were passed over, so that each is tried only once."""
        stop = self._waiting[0][0] if self._waiting else self._index.frame_count
        nearest_start = next(self._index.starts_for(frame_index), None)
        for passed in range(frame_index, max(stop, frame_index + 1)):
            if next(self._index.starts_for(passed), None) != nearest_start:
                return
            self._damaged_frames.add(passed)

    def _restart(self, start: int) -> DecodingRun:
        self._last = None
        self._waiting.clear()
        self._fed_packet = start
        self._next_frame = 0
        self._first_run = DecodingRun(self._source, self._index, start)
        self._pictures = self._decode_from(self._first_run)
        return self._first_run

    def _advance_to(self, frame_index: int) -> Any | None:
        """Decodes forward; returns the picture, or None if it was passed over."""
        while True:
            if not self._waiting:
                picture = next(self._pictures, None)
                if picture is None:
                    self._next_frame = None
                    return None
                self._waiting.append(picture)
            assert self._first_run is not None, "pictures come from a run"
            if self._waiting[0][0] > frame_index or not self._first_run.start_came_out:
                return None
            current, picture = self._waiting.popleft()
            self._next_frame = current + 1
            if current == frame_index:
                return picture

    def _decode_from(self, first_run: DecodingRun) -> Iterator[tuple[int, Any]]:
        """Yields (frame index, picture) in order of presentation from a keyframe on."""
        run = first_run
        last_frame = HIDDEN
        while True:
            for frame_index, picture in run.frames(self._note_fed):
                if run is not first_run and not run.start_came_out:
                    break
                if frame_index > last_frame:
                    last_frame = frame_index
                    yield frame_index, picture
            if run.next_start is None:
                return
            run = DecodingRun(self._source, self._index, run.next_start)

    def _note_fed(self, ordinal: int) -> None:
        self._fed_packet = ordinal

"""One pass of the decoder: from a keyframe to the end, or to the first packet that is refused."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av
import numpy as np

from shoal_media.readers.packet_index import HIDDEN, PacketIndex
from shoal_media.readers.packet_source import PacketSource

NoteFed = Callable[[int], None]
"""Told the ordinal of each packet before it is decoded."""


class DecodingRun:
    """The frames of one pass, and where the next one begins."""

    def __init__(self, source: PacketSource, index: PacketIndex, start: int) -> None:
        self._source = source
        self._index = index
        self._start = start
        self.start_came_out = bool(index.frames_P[start] == HIDDEN)
        """Whether the keyframe was decoded; one that is never shown is trusted."""
        self.refused: int | None = None
        """Ordinal of the packet that ended the run."""
        self.next_start = self._start_behind(start)
        """The keyframe from which to go on once the frames of this run are used up."""

    def frames(self, note_fed: NoteFed) -> Iterator[tuple[int, Any]]:
        """Yields (frame index, picture) in order of presentation; some of the first may repeat."""
        thread_count = self._source.thread_count
        held_back: deque[tuple[int, Any]] = deque()
        for stamp, picture in self._decoded(note_fed):
            if picture is None and thread_count > 1:
                # Several threads tell too late which packet they refused: all again, with one.
                self._source.reopen(thread_count=1)
                yield from self.frames(note_fed)
                return
            if picture is None:
                self.refused = stamp
                self.next_start = self._start_behind(stamp)
                return
            if self._leads(stamp, self._start):
                continue
            self.start_came_out |= stamp == self._start
            frame_index = int(self._index.frames_P[stamp])
            if frame_index != HIDDEN:
                held_back.append((frame_index, picture))
            if len(held_back) >= thread_count:
                yield held_back.popleft()
        yield from held_back
        self.next_start = None

    @property
    def ended_in_first_group(self) -> bool:
        """Whether a packet was refused that belongs to the keyframe of the start.

        It may be an intact one: where groups are open, it may name pictures before the start
        without using them.
        """
        return self.refused is not None and self.next_start == self._start_behind(self._start)

    def refuses_before(self, ordinal: int) -> bool:
        """Whether one of the packets before `ordinal` is refused."""
        fed = self._start

        def note_fed(current: int) -> None:
            nonlocal fed
            fed = current

        for _, picture in self._decoded(note_fed):
            if picture is None or fed >= ordinal:
                return picture is None and fed < ordinal
        return False

    def _decoded(self, note_fed: NoteFed) -> Iterator[tuple[int, Any | None]]:
        """Yields (ordinal of its packet, picture) in order of presentation.

        A packet that is refused yields (its ordinal, None), after the pictures before it, and
        ends the run. Pictures that the decoder can only conceal are left out.
        """
        for ordinal, packet in self._source.packets_from(self._start):
            note_fed(ordinal)
            packet.pts = packet.dts = ordinal
            pictures = None if packet.is_corrupt else _fed(self._source, packet)
            if pictures is not None:
                yield from _usable(pictures)
            elif not self._leads(ordinal, self._start):
                # A refused picture, whose place was guessed, may belong before those that wait.
                if not self._index.is_order_learnt:
                    before = _fed(self._source, None) or []
                    yield from _usable(picture for picture in before if picture.pts < ordinal)
                yield ordinal, None
                return
        yield from _usable(_fed(self._source, None) or [])

    def _leads(self, ordinal: int, keyframe: int) -> bool:
        """Whether a picture is shown before a keyframe that it follows in the file.

        It then needs the group before (open groups), and nothing behind it needs it.
        """
        ranks_P = self._index.ranks_P
        return bool(ordinal > keyframe and HIDDEN < ranks_P[ordinal] < ranks_P[keyframe])

    def _start_behind(self, refused: int) -> int | None:
        """Returns the first later keyframe whose group does not need the refused packet."""
        keyframes_K = self._index.keyframes_K
        first = int(np.searchsorted(keyframes_K, self._start, "right"))
        for keyframe in keyframes_K[first:].tolist():
            if keyframe > refused or self._leads(refused, keyframe):
                return int(keyframe)
        return None


def _fed(source: PacketSource, packet: Any | None) -> list[Any] | None:
    """Feeds one packet (None: the end); returns the pictures, or None where it is refused."""
    try:
        pictures: list[Any] = source.stream.codec_context.decode(packet)
    except av.FFmpegError:
        return None
    return [picture for picture in pictures if picture.pts is not None]


def _usable(pictures: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Drops pictures that the decoder had to guess."""
    return ((picture.pts, picture) for picture in pictures if not picture.is_corrupt)

"""Demuxes the video stream of a container; packets are numbered in file order."""

from array import array
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument, PermissionDenied
from shoal_media.readers.packet_index import NO_TIMESTAMP, PacketTable

_NOT_VIDEO_FORMATS = frozenset({"tty", "image2"})
_STRICT = {"err_detect": "crccheck+explode"}


class PacketSource:
    """The open file and its video stream; `packets_from` yields packets with their ordinals.

    Raises:
        InvalidArgument: VIDEO_EMPTY or VIDEO_UNREADABLE.
        PermissionDenied: VIDEO_FORBIDDEN.
    """

    def __init__(self, path: Path, *, thread_count: int) -> None:
        self._path = path
        self.thread_count = thread_count
        self._is_strict = True
        if path.stat().st_size == 0:
            raise InvalidArgument(
                "VIDEO_EMPTY", f"{path} is empty (0 bytes); copy it again.", path=path
            )
        self._demux_failed = False
        self._first_keyframe: Any | None = None
        self._open()
        self.table = self._scan()
        # Seeking in a Matroska file that was read to its end takes seconds, in a new one none.
        self.reopen()

    def _open(self) -> None:
        self.container = _open_container(self._path)
        stream = self.container.streams.best("video")
        format_name = self.container.format.name
        if stream is None or format_name in _NOT_VIDEO_FORMATS or format_name.endswith("_pipe"):
            self.container.close()
            raise unreadable(
                self._path,
                "holds no video stream; give a video file or a folder of images",
            )
        self.stream = stream
        self.stream.thread_type = "FRAME" if self.thread_count > 1 else "NONE"
        self.stream.codec_context.thread_count = self.thread_count
        if self._is_strict:
            self.stream.codec_context.options = _STRICT

    def reopen(self, *, thread_count: int | None = None, is_strict: bool | None = None) -> None:
        """Begins anew with a decoder of other settings.

        Args:
            thread_count: Decoding threads; None leaves them.
            is_strict: Whether damage that the decoder notices makes it refuse a packet, where it
                would otherwise guess; None leaves it.
        """
        self.thread_count = thread_count or self.thread_count
        self._is_strict = self._is_strict if is_strict is None else is_strict
        self.container.close()
        self._open()
        self._prime()

    def close(self) -> None:
        """Closes the file and its decoder."""
        self.container.close()

    def packets_from(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        """Yields (ordinal, packet) from the given one on; the decoder is flushed before.

        Packets that were cut off are left out: decoded, they would give guessed pixels.
        """
        first, packets = self._seek(ordinal)
        for current, packet in enumerate(packets, first):
            if current >= ordinal and not self.table.is_cut_P[current]:
                yield current, packet

    def _seek(self, ordinal: int) -> tuple[int, Iterator[Any]]:
        """Returns the ordinal where the demuxer landed, at most the wanted one, and packets.

        Containers search by decoding or by presentation time, so both are tried and the
        landing is checked; where neither lands before the packet, the file is opened again.
        """
        for timestamps_P in (self.table.pts_P, self.table.dts_P):
            timestamp = int(timestamps_P[ordinal])
            if timestamp == NO_TIMESTAMP or self._identities_P is None:
                continue
            try:
                self.container.seek(timestamp, stream=self.stream, backward=True)
            except av.FFmpegError:
                continue
            packets = self._demux()
            head = next(packets, None)
            landed = None if head is None else self._ordinal_of(head)
            if landed is not None and landed <= ordinal:
                return landed, _chain(head, packets)
        self.reopen()
        return 0, self._demux()

    def _prime(self) -> None:
        """Shows a new decoder the first keyframe.

        x264 writes its version there and nowhere else, and FFmpeg decodes 4:4:4 video of
        older versions differently: without it, frames read at random would have other pixels.
        """
        decoder = self.stream.codec_context
        with suppress(av.FFmpegError):  # A damaged keyframe is reported when it is asked for.
            decoder.decode(self._first_keyframe)
        decoder.flush_buffers()

    def _demux(self) -> Iterator[Any]:
        """Yields the packets that hold data, to the end or to the first unreadable byte.

        Empty ones (frames that an AVI writer dropped, PyAV's mark of the end) would flush
        the decoder.
        """
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield packet
        except av.FFmpegError:
            self._demux_failed = True

    def _scan(self) -> PacketTable:
        rows = array("q")
        for packet in self._noting_first_keyframe(self._demux()):
            rows.extend(
                (
                    NO_TIMESTAMP if packet.pts is None else packet.pts,
                    NO_TIMESTAMP if packet.dts is None else packet.dts,
                    -1 if packet.pos is None else packet.pos,
                    packet.is_keyframe,
                    packet.is_discard,
                    packet.is_corrupt,
                )
            )
        if not rows:
            raise InvalidArgument(
                "VIDEO_EMPTY", f"{self._path} holds no frames; record it again.", path=self._path
            )
        columns_6P = np.frombuffer(rows, np.int64).reshape(-1, 6).T.copy()
        return PacketTable(
            pts_P=columns_6P[0],
            dts_P=columns_6P[1],
            positions_P=columns_6P[2],
            is_keyframe_P=columns_6P[3].astype(np.bool_),
            is_discarded_P=columns_6P[4].astype(np.bool_),
            is_cut_P=_trailing(columns_6P[5].astype(np.bool_)),
            ended_with_error=self._demux_failed,
        )

    def _noting_first_keyframe(self, packets: Iterator[Any]) -> Iterator[Any]:
        for packet in packets:
            if self._first_keyframe is None and packet.is_keyframe:
                self._first_keyframe = packet
            yield packet

    @cached_property
    def _identities_P(self) -> tuple[NDArray[np.int64], NDArray[np.int64], str] | None:
        """What tells packets apart after a seek: (sorted values, their ordinals, attribute)."""
        for values_P, attribute in ((self.table.positions_P, "pos"), (self.table.pts_P, "pts")):
            order_P = np.argsort(values_P, kind="stable")
            sorted_P = values_P[order_P]
            if sorted_P[0] > NO_TIMESTAMP and (np.diff(sorted_P) > 0).all():
                return sorted_P, order_P.astype(np.int64), attribute
        return None

    def _ordinal_of(self, packet: Any) -> int | None:
        if self._identities_P is None:
            return None
        sorted_P, order_P, attribute = self._identities_P
        value = getattr(packet, attribute)
        if value is None:
            return None
        place = int(np.searchsorted(sorted_P, value))
        if place == len(sorted_P) or sorted_P[place] != value:
            return None
        return int(order_P[place])


def unreadable(path: Path, why_and_cure: str) -> InvalidArgument:
    """Returns the error for a file that is no video, or no longer one."""
    return InvalidArgument("VIDEO_UNREADABLE", f"{path} {why_and_cure}.", path=path)


def _open_container(path: Path) -> Any:
    try:
        return av.open(str(path))
    except PermissionError as error:
        raise PermissionDenied(
            "VIDEO_FORBIDDEN", f"{path} may not be read; change its permissions.", path=path
        ) from error
    except av.FFmpegError as error:
        raise unreadable(
            path,
            "is not a video, or was cut off before its index was written; copy it again or "
            "repair it with ffmpeg",
        ) from error


def _chain(head: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield head
    yield from rest


def _trailing(is_corrupt_P: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keeps the run of marked packets at the end."""
    return np.logical_and.accumulate(is_corrupt_P[::-1])[::-1]

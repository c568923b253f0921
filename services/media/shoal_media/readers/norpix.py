"""Reads a Norpix StreamPix sequence (`.seq`): gray of 8 or 16 bits, colour, JPEG, PNG.

sleap-io reads these files too, but takes the data of new files to begin where that of old ones
does, 16-bit pixels for 8-bit ones and the announced number of frames for the true one, and
writes an index beside the video.

Axis legend: F frames.
"""

import mmap
import os
import struct
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_media.content_hash import hash_file
from shoal_media.frames import Pixels, decode_pixels
from shoal_media.readers.frame_store import FrameStore, StoredFrames, all_indices, unreadable_frame
from shoal_media.readers.norpix_header import SeqHeader, seq_unreadable

_LENGTH_BYTES = 4
_FILE_STARTS = (b"\xff\xd8", b"\x89P")
"""Of JPEG and PNG."""
_MAX_PADDING_BYTES = 32
_TIME = struct.Struct("<IHH")
"""Seconds, milliseconds, microseconds."""
_COARSE_TIME_BYTES = 6
"""Of a time without microseconds."""
_CURE = "copy the file again, or leave the frame out"


class NorpixSequence(FrameStore):
    """Images with the time of each behind it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header = SeqHeader.read(path)
        size_bytes = path.stat().st_size
        self._offsets_F = (
            _offsets_of_files(path, self._header)
            if self._header.holds_files
            else _offsets_of_images(self._header, size_bytes)
        )
        count = len(self._offsets_F)
        if not count:
            raise seq_unreadable(path, "is cut off before its first frame ends; copy it again")
        self._file = path.open("rb")
        announced = self._header.announced_frame_count
        self.frames = StoredFrames(
            path,
            count,
            all_indices(count),
            hash_file(path),
            # The number is written last: without it, the end of the recording is missing too.
            missing_frame_count=max(0, announced - count) if announced else None,
            fps=self._header.fps,
        )

    def pixels(self, frame_index: int) -> Pixels:
        """Returns the image's pixels in RGB order."""
        try:
            stored = self._stored(frame_index)
            if self._header.holds_files:
                return decode_pixels(stored)
            return self._header.pixels(stored)
        except (InvalidArgument, OSError, ValueError, struct.error) as error:
            raise unreadable_frame(frame_index, self.name_of(frame_index), _CURE) from error

    def name_of(self, frame_index: int) -> str:
        """Returns the image and the file."""
        return f"image {frame_index} of {self._path}"

    def time_ms(self, frame_index: int) -> float | None:
        """Returns the camera's time of an image; None for the last one if it is cut off."""
        first_us, time_us = self._time_us(0), self._time_us(frame_index)
        return None if first_us is None or time_us is None else (time_us - first_us) / 1000

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _stored(self, frame_index: int) -> bytes:
        offset = int(self._offsets_F[frame_index])
        if not self._header.holds_files:
            return self._read(offset, self._header.image_bytes)
        length = _length_at(self._read(offset, _LENGTH_BYTES), 0)
        return self._read(offset + _LENGTH_BYTES, length - _LENGTH_BYTES)

    def _time_us(self, frame_index: int) -> int | None:
        offset = int(self._offsets_F[frame_index])
        if self._header.holds_files:
            offset += _length_at(self._read(offset, _LENGTH_BYTES), 0)
        else:
            offset += self._header.image_bytes
        stored = self._read(offset, _TIME.size)
        if len(stored) < (_TIME.size if self._header.has_microseconds else _COARSE_TIME_BYTES):
            return None
        seconds, milliseconds, microseconds = _TIME.unpack(stored.ljust(_TIME.size, b"\0"))
        fine = microseconds if self._header.has_microseconds else 0
        return int(1_000_000 * seconds + 1000 * milliseconds + fine)

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)


def _offsets_of_images(header: SeqHeader, size_bytes: int) -> NDArray[np.int64]:
    """Returns where the uncompressed images begin that are there as a whole."""
    room = size_bytes - header.first_image_offset - header.image_bytes
    whole = max(0, room // header.stride_bytes + 1)
    count = min(whole, header.announced_frame_count or whole)
    return header.first_image_offset + header.stride_bytes * np.arange(count, dtype=np.int64)


def _offsets_of_files(path: Path, header: SeqHeader) -> NDArray[np.int64]:
    """Returns where the lengths of the JPEG or PNG files stand that are there as a whole.

    A record is length (its own 4 bytes included), file, time and a padding that depends on the
    recorder; the first record tells it.
    """
    offsets = array("q")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        limit = header.announced_frame_count or len(data)
        place = header.first_image_offset
        trailer_bytes: int | None = None
        while len(offsets) < limit and _is_record(data, place):
            offsets.append(place)
            end = place + _length_at(data, place)
            if trailer_bytes is None:
                trailer_bytes = _trailer_bytes(data, end)
            place = end + trailer_bytes
    return np.frombuffer(offsets, np.int64)


def _trailer_bytes(data: mmap.mmap, end: int) -> int:
    """Returns how many bytes lie between the first file and the second record."""
    for size in range(_COARSE_TIME_BYTES, _COARSE_TIME_BYTES + _MAX_PADDING_BYTES, 2):
        if _is_record(data, end + size):
            return size
    return _TIME.size


def _is_record(data: mmap.mmap, place: int) -> bool:
    """Whether a whole file begins here."""
    start = place + _LENGTH_BYTES
    return (
        start + 2 < len(data)
        and data[start : start + 2] in _FILE_STARTS
        and _LENGTH_BYTES < _length_at(data, place) <= len(data) - place
    )


def _length_at(data: bytes | mmap.mmap, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])

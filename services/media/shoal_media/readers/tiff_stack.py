"""Reads a TIFF file of several pages as a video: a page is a frame.

Pages are found and decoded by tifffile, which decodes LZW, PackBits and JPEG only where the
package imagecodecs is installed. OpenCV's libtiff would decode them too, but it gives guessed
pixels for damaged pages.

ImageJ and tifffile store large stacks as one page that many frames follow; those count too.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from shoal_core.errors import InvalidArgument
from shoal_media.content_hash import hash_file
from shoal_media.frames import Pixels
from shoal_media.readers.frame_store import FrameStore, StoredFrames, all_indices, unreadable_frame

_MINISBLACK, _RGB, _YCBCR = 1, 2, 6
_CURE = "write the stack again"


class TiffStack(FrameStore):
    """Pages of one size; gray or RGB, 8 or 16 bits a channel."""

    def __init__(self, path: Path) -> None:
        import tifffile

        self._path = path
        try:
            self._tiff = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, OSError, ValueError, struct.error) as error:
            raise _unreadable(path, f"is no TIFF file that can be read ({error})") from error
        try:
            self._pages: Any = self._tiff.pages
            self._raw_offset: int | None = None
            frame_count, missing = self._count()
            self._check_codec()
        except BaseException:
            self._tiff.close()
            raise
        self.frames = StoredFrames(
            path, frame_count, all_indices(frame_count), hash_file(path), missing
        )

    def pixels(self, frame_index: int) -> Pixels:
        """Returns the page's pixels in RGB order."""
        try:
            pixels = self._decoded(frame_index)
        except (ValueError, IndexError, OSError, RuntimeError, struct.error, zlib.error) as error:
            raise unreadable_frame(frame_index, self.name_of(frame_index), _CURE) from error
        if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2] not in (1, 3):
            raise unreadable_frame(
                frame_index,
                self.name_of(frame_index),
                f"it has {pixels.shape[2]} channels of {pixels.dtype}; store gray or RGB pixels "
                "of 8 or 16 bits",
            )
        return pixels

    def name_of(self, frame_index: int) -> str:
        """Returns the page and the file."""
        return f"page {frame_index} of {self._path}"

    def close(self) -> None:
        """Closes the file."""
        self._tiff.close()

    def _count(self) -> tuple[int, int | None]:
        """Returns how many frames can be read and how many are missing."""
        page_count = len(self._pages)
        if not page_count:
            raise _unreadable(self._path, "holds no page")
        first = self._pages[0]
        if first.photometric not in (_MINISBLACK, _RGB, _YCBCR):
            raise _unreadable(self._path, f"has {first.photometric.name} pixels")
        size_bytes = self._tiff.filehandle.size
        is_cut = self._ends_too_early(page_count)
        if is_cut or page_count == 1:
            announced = self._announced_count()
            if announced > page_count and first.is_contiguous:
                self._raw_offset = first.dataoffsets[0]
                whole = (size_bytes - self._raw_offset) // first.nbytes
                return self._some(min(whole, announced)), max(0, announced - whole)
        readable = page_count
        while readable and self._end_of(self._pages[readable - 1]) > size_bytes:
            readable -= 1
        if is_cut:
            return self._some(readable), None
        if page_count == 1:
            raise _single(self._path)
        return self._some(readable), page_count - readable

    def _some(self, frame_count: int) -> int:
        if not frame_count:
            raise _unreadable(self._path, "is cut off before its first page ends")
        return frame_count

    def _announced_count(self) -> int:
        """Returns how many frames ImageJ or tifffile say there are; 1 if nobody does."""
        if self._tiff.is_imagej:
            return int((self._tiff.imagej_metadata or {}).get("images", 1))
        if self._tiff.is_shaped:
            shape: tuple[int, ...] = self._tiff.series[0].shape
            return int(np.prod(shape)) // max(1, int(np.prod(self._pages[0].shape)))
        return 1

    def _ends_too_early(self, page_count: int) -> bool:
        """Whether the last page that was found names another one."""
        layout, file = self._tiff.tiff, self._tiff.filehandle
        file.seek(self._pages[page_count - 1].offset)
        (tag_count,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
        file.seek(tag_count * layout.tagsize, 1)
        pointer = file.read(layout.offsetsize)
        return len(pointer) < layout.offsetsize or any(pointer)

    @staticmethod
    def _end_of(page: Any) -> int:
        ends = zip(page.dataoffsets, page.databytecounts, strict=True)
        return max((offset + size for offset, size in ends), default=0)

    def _check_codec(self) -> None:
        if self._raw_offset is not None:
            return
        first = self._pages[0]
        try:
            first.asarray()
        except (ValueError, ImportError) as error:
            if "imagecodecs" not in str(error):
                raise _unreadable(self._path, "has a damaged first page") from error
            raise self._codec_missing(first) from error
        except (zlib.error, struct.error, OSError) as error:
            raise _unreadable(self._path, "has a damaged first page") from error

    def _codec_missing(self, page: Any) -> InvalidArgument:
        return _unreadable(
            self._path,
            f"is compressed with {page.compression.name}, for which imagecodecs is not installed",
        )

    def _decoded(self, frame_index: int) -> Pixels:
        if self._raw_offset is not None:
            return self._raw(frame_index)
        page = self._pages[frame_index]
        return _oriented(page, page.asarray())

    def _raw(self, frame_index: int) -> Pixels:
        first = self._pages[0]
        assert self._raw_offset is not None
        file = self._tiff.filehandle
        file.seek(self._raw_offset + frame_index * first.nbytes)
        stored_dtype = np.dtype(first.dtype).newbyteorder(self._tiff.byteorder)
        stored = np.frombuffer(file.read(first.nbytes), stored_dtype).reshape(first.shape)
        return _oriented(first, stored.astype(first.dtype, copy=False))


def _oriented(page: Any, stored: Any) -> Pixels:
    """Returns pixels [H, W, C] without alpha."""
    if stored.ndim == 2:
        return np.ascontiguousarray(stored)[..., np.newaxis]
    pixels = np.moveaxis(stored, 0, -1) if page.axes == "SYX" else stored
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] == 4 else pixels)


def _unreadable(path: Path, what: str) -> InvalidArgument:
    return InvalidArgument(
        "VIDEO_UNREADABLE",
        f"{path} {what}; store a stack of gray or RGB pages, without compression or deflated.",
        path=path,
    )


def _single(path: Path) -> InvalidArgument:
    return InvalidArgument(
        "VIDEO_UNREADABLE",
        f"{path} is a single image; give its folder {path.parent}, whose images are the frames.",
        path=path,
    )

"""The header of a Norpix StreamPix sequence (`.seq`): 1024 bytes, little-endian.

Two things differ between versions: up to 3 the image format names the compression as well, from
4 on compression has a field of its own; from 5 on uncompressed images begin at byte 8192 and
times have microseconds.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoal_core.errors import InvalidArgument
from shoal_media.frames import Pixels

SEQ_SIGNATURE = b"\xed\xfe\0\0"
HEADER_BYTES = 1024

_FIELDS = struct.Struct("<28xi516x9Id")
_COMPRESSION_OFFSET = 620
_ALIGNED_IMAGES_OFFSET = 8192
_VERSION_WITH_COMPRESSION_FIELD = 4
_VERSION_WITH_MICROSECONDS = 5
_JPEG = 1
_FILE_FORMATS = frozenset({1, 2, 102, 201})
"""Image formats that are PNG or JPEG files, gray and colour, up to version 3."""
_CHANNEL_ORDERS: dict[int, tuple[int, tuple[int, ...]]] = {
    100: (1, (0,)),  # gray
    200: (3, (2, 1, 0)),  # BGR
    400: (3, (0, 1, 2)),  # RGB
    500: (4, (2, 1, 0)),  # BGR and padding
}
"""Stored channels, and which of them are red, green and blue, by image format."""


@dataclass(frozen=True)
class SeqHeader:
    """What the header tells of the images."""

    version: int
    height_px: int
    width_px: int
    bits_per_pixel: int
    image_bytes: int
    """Of one image without compression."""
    image_format: int
    announced_frame_count: int
    """0 until the recording is closed."""
    stride_bytes: int
    """From the start of one uncompressed image to the next."""
    fps: float | None
    compression: int

    @classmethod
    def read(cls, path: Path) -> "SeqHeader":
        """Returns the header of a sequence.

        Raises:
            InvalidArgument: VIDEO_UNREADABLE for a file that is cut off inside its header, or
                whose pixels are stored in a way that is not supported.
        """
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        if len(head) < HEADER_BYTES:
            raise seq_unreadable(path, "is cut off inside its header; copy it again")
        version, width, height, bits, _, size, image_format, count, _, stride, fps = (
            _FIELDS.unpack_from(head)
        )
        has_field = version >= _VERSION_WITH_COMPRESSION_FIELD
        header = cls(
            version=version,
            height_px=height,
            width_px=width,
            bits_per_pixel=bits,
            image_bytes=size,
            image_format=image_format,
            announced_frame_count=count,
            stride_bytes=stride,
            fps=fps if math.isfinite(fps) and fps > 0 else None,
            compression=struct.unpack_from("<I", head, _COMPRESSION_OFFSET)[0] if has_field else 0,
        )
        header._check(path)
        return header

    @property
    def holds_files(self) -> bool:
        """Whether every image is a JPEG or PNG file of its own length."""
        return self.compression == _JPEG or self.image_format in _FILE_FORMATS

    @property
    def has_microseconds(self) -> bool:
        """Whether times are finer than a millisecond."""
        return self.version >= _VERSION_WITH_MICROSECONDS

    @property
    def first_image_offset(self) -> int:
        """Where the first image, or the length of its file, begins."""
        is_aligned = self.has_microseconds and not self.holds_files
        return _ALIGNED_IMAGES_OFFSET if is_aligned else HEADER_BYTES

    def pixels(self, image: bytes) -> Pixels:
        """Returns the pixels [H, W, 1 or 3] of an uncompressed image, in RGB order."""
        stored_channels, order = _CHANNEL_ORDERS[self.image_format]
        dtype: Any = np.dtype("<u2" if self._channel_bytes == 2 else np.uint8)
        rows = np.frombuffer(image, dtype).reshape(self.height_px, -1)
        stored_HWC = rows[:, : self.width_px * stored_channels].reshape(
            self.height_px, self.width_px, stored_channels
        )
        native = dtype.newbyteorder("=")
        return np.ascontiguousarray(stored_HWC[..., order], dtype=native)

    @property
    def _channel_bytes(self) -> int:
        stored_channels, _ = _CHANNEL_ORDERS[self.image_format]
        return -(-self.bits_per_pixel // (8 * stored_channels))

    def _check(self, path: Path) -> None:
        if self.holds_files:
            return
        if self.compression or self.image_format not in _CHANNEL_ORDERS:
            raise seq_unreadable(
                path,
                f"stores its images in format {self.image_format} with compression "
                f"{self.compression}; export it from StreamPix without compression, as JPEG or "
                "as AVI",
            )
        stored_channels, _ = _CHANNEL_ORDERS[self.image_format]
        channel_bytes = self._channel_bytes
        row_bytes = self.width_px * stored_channels * channel_bytes
        stored_row_bytes, rest = divmod(self.image_bytes, max(1, self.height_px))
        has_rows = bool(self.height_px) and 0 < row_bytes <= stored_row_bytes and not rest
        if not has_rows or channel_bytes > 2 or stored_row_bytes % channel_bytes:
            raise seq_unreadable(
                path,
                f"says that images of {self.width_px}x{self.height_px} px with "
                f"{self.bits_per_pixel} bits take {self.image_bytes} bytes; record it again",
            )
        if self.stride_bytes < self.image_bytes:
            raise seq_unreadable(path, "has a damaged header; copy it again")


def seq_unreadable(path: Path, why_and_cure: str) -> InvalidArgument:
    """Returns the error for a sequence that cannot be read."""
    return InvalidArgument("VIDEO_UNREADABLE", f"{path} {why_and_cure}.", path=path)

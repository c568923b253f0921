"""Frames in the form in which they are sent.

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from shoal_common.transport import MAX_MESSAGE_BYTES
from shoal_core.errors import InvalidArgument

if TYPE_CHECKING:
    from shoal_media.readers import VideoReader

Encoding = Literal["raw", "jpeg", "png"]

_MAX_BYTES = {"raw": MAX_MESSAGE_BYTES - 1024, "jpeg": 16 * 2**20, "png": 16 * 2**20}
"""Largest frame by encoding; a raw one shares its message with a few other fields."""


@dataclass(frozen=True)
class PictureForm:
    """How the pixels of a stream's frames are sent."""

    encoding: Encoding
    max_side_px: int | None
    """Frames are scaled down until their longer side fits; None for full resolution."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame, ready to be sent."""

    frame_index: int
    timestamp_ms: float
    """From the first frame; 0 where the video has no clock."""
    encoding: Encoding
    content: NDArray[np.uint8] | bytes
    """Pixels [H, W, C] if raw, else the image file's bytes."""


def make_picture(reader: "VideoReader", frame_index: int, form: PictureForm) -> Picture:
    """Reads, scales and encodes one frame.

    Raises:
        DataLoss: FRAME_UNREADABLE.
        InvalidArgument: FRAME_TOO_LARGE when it does not fit into a message.
    """
    from shoal_media.frames import thumbnail

    frame_HWC = reader.read(frame_index)
    if form.max_side_px is not None:
        frame_HWC = thumbnail(frame_HWC, max_side_px=form.max_side_px)
    content = _encode(frame_HWC, form.encoding)
    size = len(content) if isinstance(content, bytes) else content.nbytes
    if size > _MAX_BYTES[form.encoding]:
        raise InvalidArgument(
            "FRAME_TOO_LARGE",
            f"Frame {frame_index} takes {size:,} bytes as {form.encoding}; ask for JPEG or a "
            "smaller max_side_px.",
            frame_index=frame_index,
            size_bytes=size,
        )
    return Picture(
        frame_index=frame_index,
        timestamp_ms=reader.time_ms(frame_index),
        encoding=form.encoding,
        content=content,
    )


def _encode(frame_HWC: NDArray[np.uint8], encoding: Encoding) -> NDArray[np.uint8] | bytes:
    from shoal_media.frames import encode_jpeg, encode_png

    match encoding:
        case "raw":
            return frame_HWC
        case "jpeg":
            return encode_jpeg(frame_HWC, quality=95)
        case "png":
            return encode_png(frame_HWC)
        case _:
            assert_never(encoding)

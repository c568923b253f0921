"""Single frames: JPEG and PNG, gray, thumbnails.

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB).
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

Channels = Literal[1, 3]
"""1 = gray, 3 = RGB."""

_GRAY_WEIGHTS_13 = np.array([[0.2989, 0.587, 0.114]], np.float32)


def rgb_to_gray_into(rgb_HW3: NDArray[np.uint8], out_HW: NDArray[np.uint8]) -> None:
    """Writes 0.2989 R + 0.587 G + 0.114 B, rounded, into `out_HW`.

    These weights, and not OpenCV's 0.299, are those that SLEAP's models were trained with.
    """
    cv2.transform(rgb_HW3, _GRAY_WEIGHTS_13, dst=out_HW)


def with_channels(frame_HWC: NDArray[np.uint8], channels: Channels) -> NDArray[np.uint8]:
    """Returns the frame as gray [H, W, 1] or RGB [H, W, 3]; unchanged if it is that already."""
    if frame_HWC.shape[2] == channels:
        return frame_HWC
    if channels == 3:
        return np.repeat(frame_HWC, 3, axis=2)
    gray_HW1 = np.empty((*frame_HWC.shape[:2], 1), np.uint8)
    rgb_to_gray_into(frame_HWC, gray_HW1[..., 0])
    return gray_HW1


def encode_jpeg(frame_HWC: NDArray[np.uint8], *, quality: int = 95) -> bytes:
    """Returns the frame as JPEG.

    Args:
        frame_HWC: Gray or RGB.
        quality: 1 (small) to 100 (best).
    """
    if not 1 <= quality <= 100:
        raise InvalidArgument(
            "QUALITY_OUT_OF_RANGE", f"JPEG quality is 1 to 100, not {quality}.", quality=quality
        )
    return _encode(".jpg", frame_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(frame_HWC: NDArray[np.uint8], *, compression: int = 1) -> bytes:
    """Returns the frame as PNG, without loss.

    Args:
        frame_HWC: Gray or RGB.
        compression: 0 (fast) to 9 (small).
    """
    return _encode(".png", frame_HWC, [cv2.IMWRITE_PNG_COMPRESSION, compression])


def decode_image(encoded: bytes, *, channels: Channels | None = None) -> NDArray[np.uint8]:
    """Returns the frame [H, W, C] held by JPEG, PNG, TIFF or BMP bytes.

    Args:
        encoded: The file's bytes. An orientation mark of a camera (EXIF) is obeyed; an alpha
            channel is dropped.
        channels: 1 or 3; None keeps what the image has.

    Raises:
        InvalidArgument: IMAGE_UNREADABLE for anything else, and for more than 8 bits a channel.
    """
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if pixels is None:
        raise InvalidArgument(
            "IMAGE_UNREADABLE",
            "The bytes are no image that can be decoded; send JPEG, PNG, TIFF or BMP.",
        )
    if pixels.dtype != np.uint8:
        raise InvalidArgument(
            "IMAGE_UNREADABLE",
            f"The image has {pixels.dtype} pixels; convert it to 8 bits a channel first.",
            dtype=pixels.dtype,
        )
    is_gray = pixels.ndim == 2
    frame_HWC = np.asarray(
        pixels[..., np.newaxis] if is_gray else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8
    )
    return frame_HWC if channels is None else with_channels(frame_HWC, channels)


def thumbnail(frame_HWC: NDArray[np.uint8], *, max_side_px: int) -> NDArray[np.uint8]:
    """Returns the frame scaled down so that its longer side is at most `max_side_px`.

    Each pixel is the mean of the area that it covers. A frame that is small enough is returned
    unchanged.
    """
    height, width, channels = frame_HWC.shape
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return frame_HWC
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(frame_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small.reshape(size[1], size[0], channels)


def _encode(suffix: str, frame_HWC: NDArray[np.uint8], options: list[int]) -> bytes:
    pixels = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2BGR) if frame_HWC.shape[2] == 3 else frame_HWC
    done, encoded = cv2.imencode(suffix, pixels, options)
    if not done:
        raise InvalidArgument(
            "IMAGE_UNENCODABLE",
            f"A frame of shape {frame_HWC.shape} cannot be stored as {suffix[1:].upper()}.",
            shape=frame_HWC.shape,
        )
    return bytes(encoded.tobytes())

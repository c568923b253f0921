"""Single frames: JPEG and PNG, gray, thumbnails.

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB).
"""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

Channels = Literal[1, 3]
"""1 = gray, 3 = RGB."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""Pixels as they are stored: 8 or 16 bits a channel."""

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
    frame_HWC = decode_pixels(encoded)
    if frame_HWC.dtype != np.uint8:
        raise InvalidArgument(
            "IMAGE_UNREADABLE",
            f"The image has {frame_HWC.dtype} pixels; convert it to 8 bits a channel first.",
            dtype=frame_HWC.dtype,
        )
    shown_HWC = frame_HWC.astype(np.uint8, copy=False)
    return shown_HWC if channels is None else with_channels(shown_HWC, channels)


def decode_pixels(encoded: bytes) -> Pixels:
    """Returns what `decode_image` does, with 16 bits a channel where the image has them.

    Raises:
        InvalidArgument: IMAGE_UNREADABLE.
    """
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if pixels is None:
        raise InvalidArgument(
            "IMAGE_UNREADABLE",
            "The bytes are no image that can be decoded; send JPEG, PNG, TIFF or BMP.",
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InvalidArgument(
            "IMAGE_UNREADABLE",
            f"The image has {pixels.dtype} pixels; convert it to 8 or 16 bits a channel first.",
            dtype=pixels.dtype,
        )
    return to_rgb(pixels)


def to_rgb(decoded: NDArray[Any]) -> Pixels:
    """Returns what OpenCV decoded (gray [H, W], or BGR) as [H, W, C] in RGB order."""
    if decoded.ndim == 2:
        return decoded[..., np.newaxis]
    rgb_HWC: Pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]  # keeps the type of `decoded`
    return rgb_HWC


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

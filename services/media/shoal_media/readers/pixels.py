"""From decoded pictures to gray or RGB pixels, equal to what OpenCV (so SLEAP) gives.

RGB: swscale with the picture's own matrix and range and without ACCURATE_RND, which is what
OpenCV's reader does: equal bit for bit, also for 10 bits a channel. Not so for interlaced video,
of which OpenCV 5 gives pictures of one colour: it is read as it is stored, both fields woven.

Gray of a gray video: the red channel of that RGB. For 8-bit YUV with neutral chroma it depends
on luma alone, so the 256 values are taken from swscale once and applied to the luma plane,
where possible as one saturated multiply-add; colour conversion is saved. The result is compared
with swscale on the sampled frames at opening; where it differs anywhere, the slow way is taken.
(swscale's own conversion to gray rounds, its conversion to RGB truncates: they differ by one
gray level in up to 44 % of the pixels.)

Gray of a colour video: 0.2989 R + 0.587 G + 0.114 B, rounded.

Axis legend: H height, W width, C channels, S sampled pictures.
"""

from collections.abc import Sequence
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from shoal_media.frames import rgb_to_gray_into
from shoal_media.readers.picture_converter import PictureConverter, plane_rows

_LUMA_FIRST_FORMATS = frozenset(
    {
        *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "nv12", "nv21"),
        *("yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p", "gray"),
    }
)
_LEVELS_256 = np.arange(256, dtype=np.uint8)
_TRUNCATED_SLOPE = 9539 * 8 / 65536  # swscale's fixed point for 255/219
_LIMITED_RANGE_LINES = (
    # 4:2:0 and 4:2:2 truncate; rint(x - 0.498) is floor(x) on these levels.
    (_TRUNCATED_SLOPE, -16 * _TRUNCATED_SLOPE - 0.498),
    # 4:4:4 rounds.
    (255 / 219, -16 * 255 / 219),
)


class PixelConverter(PictureConverter):
    """Converts the pictures of one video; holds the scaler's context and the gray table."""

    def __init__(self, samples_S: Sequence[Any]) -> None:
        """Learns from the sampled pictures (av.VideoFrame), of which the first is frame 0."""
        first = samples_S[0]
        super().__init__(first)
        self._reformatter = VideoReformatter()
        self._table: GrayTable | None = None
        rgb_S = [self._rgb(sample) for sample in samples_S]
        self.is_gray = all(
            _chroma_is_neutral(sample) or _channels_are_equal(rgb_HWC)
            for sample, rgb_HWC in zip(samples_S, rgb_S, strict=True)
        )
        if self.is_gray and first.format.name in _LUMA_FIRST_FORMATS:
            self._table = self._learned_table(samples_S, rgb_S)

    def _convert_upright(self, picture: Any, out_HWC: NDArray[np.uint8]) -> None:
        if out_HWC.shape[2] == 3:
            np.copyto(out_HWC, self._rgb(picture))
        elif not self.is_gray:
            rgb_to_gray_into(self._rgb(picture), out_HWC[..., 0])
        elif self._table is not None:
            self._table.apply(_plane_view(picture, 1)[..., 0], out_HWC[..., 0])
        else:
            cv2.extractChannel(self._rgb(picture), 0, dst=out_HWC[..., 0])

    def _rgb(self, picture: Any) -> NDArray[np.uint8]:
        """Returns the picture in RGB [H, W, 3], a view where that is possible."""
        is_deep = picture.format.components[0].bits > 8
        converted = self._reformatter.reformat(
            picture,
            # To 8 bits swscale rounds otherwise for each order; OpenCV asks for BGR.
            format="bgr24" if is_deep else "rgb24",
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        pixels_HW3 = _plane_view(converted, 3)
        if not is_deep:
            return pixels_HW3
        return np.asarray(cv2.cvtColor(pixels_HW3, cv2.COLOR_BGR2RGB), np.uint8)

    def _learned_table(
        self, samples_S: Sequence[Any], rgb_S: Sequence[NDArray[np.uint8]]
    ) -> "GrayTable | None":
        table = GrayTable(self._rgb(_luma_ramp(samples_S[0]))[0, :, 0].copy())
        for sample, rgb_HWC in zip(samples_S, rgb_S, strict=True):
            luma_HW = _plane_view(sample, 1)[..., 0]
            gray_HW = np.empty(luma_HW.shape, np.uint8)
            table.apply(luma_HW, gray_HW)
            if not np.array_equal(gray_HW, rgb_HWC[..., 0]):
                return None
        return table


class GrayTable:
    """Gray level of each luma level, applied by the fastest way that gives exactly this."""

    def __init__(self, levels_256: NDArray[np.uint8]) -> None:
        self._levels_256 = levels_256
        self._is_identity = np.array_equal(levels_256, _LEVELS_256)
        self._line = None if self._is_identity else _exact_line(levels_256)

    def apply(self, luma_HW: NDArray[np.uint8], out_HW: NDArray[np.uint8]) -> None:
        """Writes the gray levels of `luma_HW` into `out_HW`."""
        if self._is_identity:
            np.copyto(out_HW, luma_HW)
        elif self._line is not None:
            slope, offset = self._line
            cv2.addWeighted(luma_HW, slope, luma_HW, 0.0, offset, dst=out_HW)
        else:
            cv2.LUT(luma_HW, self._levels_256, dst=out_HW)


def _exact_line(levels_256: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Returns (slope, offset) of the line that rounds and saturates to the levels, if any."""
    ramp = _LEVELS_256[np.newaxis]
    for slope, offset in _LIMITED_RANGE_LINES:
        line = cv2.addWeighted(ramp, slope, ramp, 0.0, offset)[0]
        if np.array_equal(line, levels_256):
            return slope, offset
    return None


def _luma_ramp(like: Any) -> Any:
    """Returns a picture whose columns are the luma levels 0-255, with neutral chroma."""
    ramp = av.VideoFrame(256, 16, like.format.name)
    ramp.colorspace = like.colorspace
    ramp.color_range = like.color_range
    for place, plane in enumerate(ramp.planes):
        rows = np.full((plane.height, plane.line_size), 128, np.uint8)
        if place == 0:
            rows[:, :256] = _LEVELS_256
        plane.update(rows.tobytes())
    return ramp


def _chroma_is_neutral(picture: Any) -> bool:
    """Whether 8-bit planar chroma is 128 everywhere; False where it is stored otherwise."""
    if not picture.format.name.startswith("yuv") or picture.format.components[0].bits != 8:
        return False
    return len(picture.planes) == 3 and all(
        (plane_rows(plane)[:, : plane.width] == 128).all() for plane in picture.planes[1:]
    )


def _plane_view(picture: Any, channels: int) -> NDArray[np.uint8]:
    """Returns the first plane as [H, W, channels] without a copy."""
    rows = plane_rows(picture.planes[0])
    row_bytes = picture.width * channels
    return rows[:, :row_bytes].reshape(picture.height, picture.width, channels)


def _channels_are_equal(rgb_HWC: NDArray[np.uint8]) -> bool:
    red, green, blue = cv2.split(rgb_HWC)
    return np.array_equal(red, green) and np.array_equal(red, blue)

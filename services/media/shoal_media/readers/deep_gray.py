"""Gray pictures of 9 to 16 bits, as scientific cameras store them in FFV1, PNG or HEVC.

They are shown through a window of levels, like 16-bit images. OpenCV, so SLEAP, shows the upper
8 bits of the format instead: of a 12-bit recording in a 16-bit format that is black.

Axis legend: H height, W width, C channels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_media.readers.picture_converter import PictureConverter, plane_rows
from shoal_media.readers.window import Window, Windowing


def is_deep_gray(picture: Any) -> bool:
    """Whether a picture (av.VideoFrame) has one channel of integers with more than 8 bits."""
    picture_format = picture.format
    return (
        picture_format.name.startswith("gray")
        and "f" not in picture_format.name.removeprefix("gray")
        and picture_format.components[0].bits > 8
    )


class DeepGrayConverter(PictureConverter):
    """Shows gray of more than 8 bits through a window."""

    def __init__(self, first: Any, window: Window) -> None:
        super().__init__(first)
        self.is_gray = True
        self._windowing = Windowing(window)
        self.window = self._windowing.window

    def _convert_upright(self, picture: Any, out_HWC: NDArray[np.uint8]) -> None:
        levels_HW1 = levels(picture)
        if out_HWC.shape[2] == 1:
            self._windowing.apply_into(levels_HW1, out_HWC)
            return
        shown_HW1 = np.empty(levels_HW1.shape, np.uint8)
        self._windowing.apply_into(levels_HW1, shown_HW1)
        np.copyto(out_HWC, shown_HW1)


def levels(picture: Any) -> NDArray[np.uint16]:
    """Returns the stored levels [H, W, 1] of a deep gray picture."""
    dtype = ">u2" if picture.format.is_big_endian else "<u2"
    rows = plane_rows(picture.planes[0])[:, : 2 * picture.width]
    stored_HW = np.ascontiguousarray(rows).view(dtype)
    return stored_HW.astype(np.uint16, copy=False)[..., np.newaxis]

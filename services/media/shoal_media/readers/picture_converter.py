"""What every conversion of decoded pictures shares: one size, and the container's rotation.

Axis legend: H height, W width, C channels.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import DataLoss
from shoal_media.readers.window import Window


class PictureConverter(ABC):
    """Converts the pictures (av.VideoFrame) of one video to gray or RGB pixels.

    Quarter turns that the container asks for are applied, as OpenCV applies them; the shape of
    its pixels (sample aspect ratio) is not, nor are mirrors: OpenCV obeys neither.
    """

    is_gray: bool
    """Whether red, green and blue are equal in every picture that was sampled."""
    window: Window | None = None
    """The levels that become 0 and 255, where the pictures have more than 8 bits."""

    def __init__(self, first: Any) -> None:
        self._picture_size = (first.height, first.width)
        self._quarter_turns = round(first.rotation / 90) % 4

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the converted frames, after rotation."""
        height, width = self._picture_size
        return (width, height) if self._quarter_turns % 2 else (height, width)

    def convert_into(self, picture: Any, out_HWC: NDArray[np.uint8]) -> None:
        """Writes the picture into `out_HWC` [H, W, 1 or 3].

        Raises:
            DataLoss: FRAME_UNREADABLE when the picture has another size than the first.
        """
        if (picture.height, picture.width) != self._picture_size:
            raise DataLoss(
                "FRAME_UNREADABLE",
                f"A frame of {picture.width}x{picture.height} px follows frames of "
                f"{self._picture_size[1]}x{self._picture_size[0]} px; cut the video there.",
            )
        if not self._quarter_turns:
            self._convert_upright(picture, out_HWC)
            return
        upright_HWC = np.empty((*self._picture_size, out_HWC.shape[2]), np.uint8)
        self._convert_upright(picture, upright_HWC)
        np.copyto(out_HWC, np.rot90(upright_HWC, self._quarter_turns))

    @abstractmethod
    def _convert_upright(self, picture: Any, out_HWC: NDArray[np.uint8]) -> None:
        """Writes the picture as it was stored."""


def plane_rows(plane: Any) -> NDArray[np.uint8]:
    """Returns a view of the plane's lines, padding included."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)

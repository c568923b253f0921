"""What a network is shown of a frame: all of it, or a crop around an animal.

The same pixels as in serving (`shoal_serving.graphs`): crops are bilinear, black outside of the
frame; images are scaled bilinearly with half-pixel centres; points by the factor alone.
Axis legend: H W pixels, C channels, 2 = (x, y).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shoal_training.config import AugmentConfig

Image = NDArray[np.uint8]


def cut_crop(image_HWC: Image, origin_px_2: NDArray[np.float32], side_px: int) -> Image:
    """Returns the square crop whose pixel (0, 0) lies on the frame's pixel (x, y) `origin_px_2`."""
    corner_2 = np.floor(origin_px_2).astype(int)
    block = _block(image_HWC, corner_2, side_px + 1)
    fraction_2 = origin_px_2 - corner_2
    if not fraction_2.any():
        return np.ascontiguousarray(block[:-1, :-1])
    near_x, near_y = 1 - fraction_2
    wide = block.astype(np.float32)
    rows = wide[:-1] * near_y + wide[1:] * (1 - near_y)
    crop = rows[:, :-1] * near_x + rows[:, 1:] * (1 - near_x)
    return np.asarray(np.rint(crop), np.uint8)


def scale_image(image_HWC: Image, factor: float) -> Image:
    """Returns the image at floor(size · factor), bilinear."""
    if factor == 1.0:
        return image_HWC
    height, width = (max(1, int(side * factor)) for side in image_HWC.shape[:2])
    scaled = cv2.resize(image_HWC, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8).reshape(height, width, image_HWC.shape[2])


def padded_to(image_HWC: Image, size_hw: tuple[int, int]) -> Image:
    """Returns the image with zeros at the bottom and the right, where it is smaller."""
    height, width = image_HWC.shape[:2]
    if (height, width) == size_hw:
        return image_HWC
    padded = np.zeros((*size_hw, image_HWC.shape[2]), np.uint8)
    padded[:height, :width] = image_HWC
    return padded


def up_to_stride(size_px: float, stride: int) -> int:
    """Returns the least multiple of the stride that is no smaller."""
    return stride * max(1, math.ceil(size_px / stride))


def side_with_margin(side_px: int, config: AugmentConfig) -> int:
    """Returns the side of the crop out of which any turned, scaled and shifted one can be cut.

    Args:
        side_px: Side of the result, in pixels of the network's input.
        config: What may happen to it.
    """
    turn_rad = math.radians(min(max(map(abs, config.rotation_deg)), 45.0))
    corners = math.cos(turn_rad) + math.sin(turn_rad)
    reach = (side_px * corners + 2 * config.translation_px) / min(config.scale)
    # A pixel at each border for the interpolation, and one for the start at a whole pixel.
    return max(side_px, math.ceil(reach) + 3)


def _block(image_HWC: Image, corner_2: NDArray[np.int_], side: int) -> Image:
    """Returns a square from a whole-pixel corner, black outside of the frame."""
    block = np.zeros((side, side, image_HWC.shape[2]), np.uint8)
    low_2 = np.maximum(corner_2, 0)
    high_2 = np.minimum(corner_2 + side, (image_HWC.shape[1], image_HWC.shape[0]))
    if (high_2 > low_2).all():
        into, until = low_2 - corner_2, high_2 - corner_2
        block[into[1] : until[1], into[0] : until[0]] = image_HWC[
            low_2[1] : high_2[1], low_2[0] : high_2[0]
        ]
    return block

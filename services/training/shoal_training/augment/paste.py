"""Mixed crops: another animal laid over a sample.

Axis legend: I instances, N nodes, H W pixels, C channels, K visible nodes, 2 = (x, y).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_MARGIN_PX = 3
"""Width of the seam around the pasted animal's nodes, where both images are mixed."""


def paste(
    image_HWC: NDArray[np.uint8],
    other_HWC: NDArray[np.uint8],
    other_points_px_N2: NDArray[np.float32],
    *,
    bright: bool,
) -> NDArray[np.uint8]:
    """Returns the image with the other one's animal laid over it.

    The animal is what lies within the convex hull of its visible nodes; with fewer than three
    of them nothing is laid over. Of both images' pixels the brighter (or the darker) one is
    kept, so that the pasted animal brings none of its ground along.
    """
    inside_HW = _inside(other_HWC, other_points_px_N2)
    seam = 2 * _MARGIN_PX + 1
    wide_HW = cv2.dilate(inside_HW, np.ones((seam, seam), np.uint8))
    share_HW1 = cv2.blur(wide_HW, (seam, seam)).astype(np.float32)[..., None] / 255
    laid_HWC = (np.maximum if bright else np.minimum)(image_HWC, other_HWC).astype(np.float32)
    mixed_HWC = image_HWC + share_HW1 * (laid_HWC - image_HWC)
    return np.asarray(mixed_HWC.round(), np.uint8)


def is_bright(image_HWC: NDArray[np.uint8], points_px_N2: NDArray[np.float32]) -> bool:
    """Whether the animal is brighter than what is around it."""
    inside_HW = _inside(image_HWC, points_px_N2)
    if not inside_HW.any():
        return True
    return sum(cv2.mean(image_HWC, inside_HW)) > sum(cv2.mean(image_HWC))


def _inside(image_HWC: NDArray[np.uint8], points_px_N2: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns 255 within the hull of the visible nodes, else 0."""
    inside_HW = np.zeros(image_HWC.shape[:2], np.uint8)
    nodes_K2 = points_px_N2[np.isfinite(points_px_N2).all(axis=1)]
    if len(nodes_K2) >= 3:
        outline = cv2.convexHull(nodes_K2.astype(np.float32)).round().astype(np.int32)
        cv2.fillConvexPoly(inside_HW, outline, 255)
    return inside_HW

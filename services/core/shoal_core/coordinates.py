"""Conversions between map pixels, network input pixels, crop pixels and frame pixels.

All coordinates are (x, y); the centre of a grid's top-left pixel is (0, 0). A map pixel c at
output stride s lies on network input pixel c·s, and an input made by scaling the frame by k
has input pixel u on frame pixel u / k (the convention of SLEAP's software, in which grids
start at 0 and padding is on the bottom and the right, so that it moves nothing).

Axis legend: I instances, `...` any leading axes, 2 = (x, y).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

Array = NDArray[np.floating[Any]]


def map_to_frame(points_map: Array, *, output_stride: float, input_scale: float = 1.0) -> Array:
    """Returns map pixels as frame pixels: c · s / k.

    Args:
        points_map: (..., 2) map pixels; NaN stays NaN.
        output_stride: network input pixels per map pixel (s).
        input_scale: network input pixels per frame pixel (k).

    Raises:
        InvalidArgument: SCALE_INVALID when the stride or the scale is not positive.
    """
    return points_map * np.float32(_factor(output_stride, input_scale))


def frame_to_map(points_px: Array, *, output_stride: float, input_scale: float = 1.0) -> Array:
    """Returns frame pixels (..., 2) as map pixels: the inverse of `map_to_frame`.

    Raises:
        InvalidArgument: SCALE_INVALID when the stride or the scale is not positive.
    """
    return points_px / np.float32(_factor(output_stride, input_scale))


def crop_origins(centroids_px_I2: Array, crop_size_px: int) -> Array:
    """Returns the frame pixel (I, 2) on which each square crop's pixel (0, 0) lies.

    The crop's middle, crop pixel (size − 1) / 2, lies on the centroid: an even crop starts
    half a pixel off the grid and is sampled there (bilinear). SLEAP samples its crops at the
    same place but maps peaks back with centroid − size / 2, which is what moves its
    centred-instance predictions by (−0.5, −0.5) px; `crop_to_frame` does not.

    Raises:
        InvalidArgument: CROP_SIZE_INVALID when the crop has no pixels.
    """
    if crop_size_px < 1:
        raise InvalidArgument(
            "CROP_SIZE_INVALID",
            f"A crop of {crop_size_px} px has no pixels; give a size of at least 1.",
            crop_size_px=crop_size_px,
        )
    return centroids_px_I2 - np.float32((crop_size_px - 1) / 2)


def crop_to_frame(points_crop_IN2: Array, origins_px_I2: Array) -> Array:
    """Returns crop pixels (I, N, 2) as frame pixels: crop pixel + origin of its crop."""
    return points_crop_IN2 + origins_px_I2[:, None, :]


def frame_to_crop(points_px_IN2: Array, origins_px_I2: Array) -> Array:
    """Returns frame pixels (I, N, 2) as pixels of each instance's own crop."""
    return points_px_IN2 - origins_px_I2[:, None, :]


def bounding_boxes(points_px_IN2: Array) -> Array:
    """Returns (I, 4) boxes (left, top, right, bottom) of the visible nodes, in pixels.

    An instance without a visible node has a box of NaN.
    """
    visible_IN1 = ~np.isnan(points_px_IN2).any(axis=2, keepdims=True)
    low_I2 = np.where(visible_IN1, points_px_IN2, np.inf).min(axis=1, initial=np.inf)
    high_I2 = np.where(visible_IN1, points_px_IN2, -np.inf).max(axis=1, initial=-np.inf)
    boxes_I4 = np.concatenate((low_I2, high_I2), axis=1)
    return np.where(np.isfinite(boxes_I4), boxes_I4, np.nan).astype(points_px_IN2.dtype)


def instance_centroids(points_px_IN2: Array, anchor_node: int | None = None) -> Array:
    """Returns where a crop around each instance is centred: [I, 2] in pixels.

    The anchor node where there is one and it is visible, else the centre of the bounding box of
    the visible nodes (as SLEAP places centred instances); NaN without a visible node.
    """
    boxes_I4 = bounding_boxes(points_px_IN2)
    centroids_I2 = (boxes_I4[:, :2] + boxes_I4[:, 2:]) / 2
    if anchor_node is not None:
        anchors_I2 = points_px_IN2[:, anchor_node]
        visible_I = np.isfinite(anchors_I2).all(axis=-1)
        centroids_I2[visible_I] = anchors_I2[visible_I]
    return centroids_I2


def _factor(output_stride: float, input_scale: float) -> float:
    if not (output_stride > 0 and input_scale > 0):
        raise InvalidArgument(
            "SCALE_INVALID",
            f"Output stride {output_stride} and input scale {input_scale} must be positive.",
            output_stride=output_stride,
            input_scale=input_scale,
        )
    return output_stride / input_scale

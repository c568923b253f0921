"""From frames to what a network sees, step by step as the served graphs do it.

Axis legend: H W frame pixels, C channels of the frame, c channels of the network, M crops,
s side of a crop, h w network input pixels, 2 = (x, y).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shoal_core.coordinates import crop_origins
from shoal_core.errors import InvalidArgument
from shoal_training.model_spec import ModelSpec

Planes = NDArray[np.float32]

_PIXEL_SCALE = np.float32(1 / 255)
_GRAY_WEIGHTS = np.array((0.2989, 0.587, 0.114), np.float64)


def frame_input(image_HWC: NDArray[np.uint8], spec: ModelSpec) -> Tensor:
    """Returns the network's input (1, c, h, w), 0 … 1, of a whole frame.

    Colour, then division by 255, then scaling to int(size · scale), then zeros at the bottom
    and right up to a multiple of the network's stride.
    """
    planes_cHW = _to_planes(image_HWC, spec.channels) * _PIXEL_SCALE
    image_1cHW = torch.from_numpy(planes_cHW)[None]
    if spec.input_scale != 1.0:
        scale = np.float32(spec.input_scale)
        size = [int(np.float32(length) * scale) for length in planes_cHW.shape[1:]]
        image_1cHW = functional.interpolate(
            image_1cHW, size=size, mode="bilinear", antialias=spec.antialias
        )
    return _padded(image_1cHW, spec.max_stride)


def crop_input(
    image_HWC: NDArray[np.uint8], centroids_px_M2: NDArray[np.float32], spec: ModelSpec
) -> Tensor:
    """Returns the network's input (M, c, h, w), 0 … 1, of the crops around centroids.

    Pixel k of a crop is the frame at centroid − (s − 1) / 2 + k, bilinear, 0 where that lies
    outside of the frame.
    """
    side = crop_side(spec)
    shape = (0, spec.channels, side, side)
    crops = [_crop(image_HWC, center_2, side, spec.channels) for center_2 in centroids_px_M2]
    crops_Mcss = torch.from_numpy(np.stack(crops) if crops else np.zeros(shape, np.float32))
    if spec.input_scale != 1.0 and crops:
        crops_Mcss = functional.interpolate(
            crops_Mcss,
            scale_factor=spec.input_scale,
            mode="bilinear",
            antialias=spec.antialias,
            # Pixels are 1 / scale apart, whatever the side of the crop is.
            recompute_scale_factor=False,
        )
    return _padded(crops_Mcss, spec.max_stride)


def crop_side(spec: ModelSpec) -> int:
    """Returns the side of the crops in frame pixels.

    Raises:
        InvalidArgument: CROP_SIZE_INVALID when the model has none.
    """
    if spec.crop_size_px is None:
        raise InvalidArgument(
            "CROP_SIZE_INVALID",
            f"The {spec.kind} model has no crop size; give data.crop_size_px.",
            kind=spec.kind,
        )
    return spec.crop_size_px


def _to_planes(image_HWC: NDArray[np.uint8], channels: int) -> Planes:
    """Returns gray levels (channels, H, W), 0 … 255; gray of RGB as TensorFlow rounds it."""
    planes_CHW = np.moveaxis(image_HWC, -1, 0).astype(np.float32)
    if len(planes_CHW) == channels:
        return np.ascontiguousarray(planes_CHW)
    if channels == 3:
        return np.repeat(planes_CHW, 3, axis=0)
    weights = (255.5 / 255 * _GRAY_WEIGHTS).astype(np.float32)
    return np.asarray(np.floor(np.tensordot(weights, planes_CHW, 1)), np.float32)[None]


def _crop(
    image_HWC: NDArray[np.uint8], center_2: NDArray[np.float32], side: int, channels: int
) -> Planes:
    """Returns one crop (channels, side, side), 0 … 1.

    The fraction of a pixel is the same for the whole crop: it is the weighted sum of four crops
    at whole pixels.
    """
    origin_2 = crop_origins(center_2.astype(np.float32), side)
    corner_2 = np.floor(origin_2).astype(np.intp)
    height, width = image_HWC.shape[:2]
    rows = np.clip(corner_2[1] + np.arange(side + 1), 0, height - 1)
    columns = np.clip(corner_2[0] + np.arange(side + 1), 0, width - 1)
    planes = _to_planes(image_HWC[rows[:, None], columns], channels)
    near_s, far_s = _weights(origin_2[1], height, side)
    planes = planes[:, :-1] * near_s[:, None] + planes[:, 1:] * far_s[:, None]
    near_s, far_s = (weights_s * _PIXEL_SCALE for weights_s in _weights(origin_2[0], width, side))
    return planes[:, :, :-1] * near_s + planes[:, :, 1:] * far_s


def _weights(start: np.float32, length: int, side: int) -> tuple[Planes, Planes]:
    """Returns the weights (s,) of the nearer and farther pixel; 0 outside of 0 … length − 1."""
    position_s = start + np.arange(side, dtype=np.float32)
    inside_s = ((position_s >= 0) & (position_s <= length - 1)).astype(np.float32)
    fraction = np.float32(start - np.floor(start))
    return (1 - fraction) * inside_s, fraction * inside_s


def _padded(images_BChw: Tensor, stride: int) -> Tensor:
    height, width = images_BChw.shape[2:]
    return functional.pad(images_BChw, (0, -width % stride, 0, -height % stride))

"""From full-resolution frames to network input.

Axis legend: B frames, C channels, H W frame pixels, h w network input pixels.
"""

from dataclasses import dataclass
from typing import Any

from shoal_serving.graphs.builder import FLOAT, INT64, GraphBuilder, Value

PIXEL_SCALE = 1 / 255
"""Networks see pixels as 0 … 1."""
GRAY_WEIGHTS = (0.2989, 0.587, 0.114)
"""Weights of R, G and B that TensorFlow uses."""


@dataclass(frozen=True)
class Scaling:
    """How an image is scaled: bilinear, half-pixel centres."""

    factor: float
    antialias: bool = False
    """Whether the filter widens by 1 / factor, so that it covers every pixel."""


def preprocess(images_BHWC: Value, channels: int, scaling: Scaling, max_stride: int) -> Value:
    """Returns network input [B, channels, h, w] of frames.

    Colour, then division by 255, then scaling, then zeros at the bottom and right up to a
    multiple of `max_stride`, in SLEAP's order.
    """
    pixels = to_planes(images_BHWC, channels) * PIXEL_SCALE
    return pad_to_stride(resize(pixels, scaling), max_stride)


def to_planes(images_BHWC: Value, channels: int) -> Value:
    """Returns UINT8 frames as FLOAT planes [B, channels, H, W], still 0 … 255.

    Frames may be gray or RGB whatever the network needs; no branch is taken on it. RGB from
    gray is the one plane three times. Gray is a sum of the planes, weighted by 1 or as
    TensorFlow does, and an integer as there: floor(255.5 · Σ weight · plane / 255), which
    gives gray frames stored as RGB back exactly (the weights add up to 0.9999).
    """
    graph = images_BHWC.graph
    planes = images_BHWC.transpose(0, 3, 1, 2)
    last = images_BHWC.length(3) - 1
    if channels == 3:
        picks = [graph.constant([0], INT64), last.minimum(1), last]
        parts = [planes.slice(1, pick, pick + 1) for pick in picks]
        return graph.concat(parts, axis=1).cast(FLOAT)
    table = graph.constant((1.0, *(255.5 / 255 * weight for weight in GRAY_WEIGHTS)), FLOAT)
    start = last.minimum(1)
    weights = table.slice(0, start, start + last + 1).reshape(1, -1)
    gray = graph.op("MatMul", weights, planes.cast(FLOAT).merge_pixels())
    return graph.op("Floor", gray).reshape(-1, 1, planes.length(2), planes.length(3))


def resize(image_BCHW: Value, scaling: Scaling) -> Value:
    """Returns the image at int(size · factor)."""
    if scaling.factor == 1.0:
        return image_BCHW
    graph = image_BCHW.graph
    sizes = [(image_BCHW.length(axis).cast(FLOAT) * scaling.factor).cast(INT64) for axis in (2, 3)]
    target = graph.concat([image_BCHW.length(0), image_BCHW.length(1), *sizes], axis=0)
    absent = Value(graph, "", FLOAT)
    return graph.op(
        "Resize",
        image_BCHW,
        absent,
        absent,
        target,
        **resize_attributes(antialias=scaling.antialias),
    )


def resize_attributes(*, antialias: bool) -> dict[str, Any]:
    """Returns how a Resize node scales images: bilinear, half-pixel centres."""
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    # At the edges, an antialiasing filter weighs the pixels that there are.
    return attributes | ({"antialias": 1, "exclude_outside": 1} if antialias else {})


def pad_to_stride(image_BCHW: Value, stride: int) -> Value:
    """Returns the image with zeros below and to the right up to a multiple of the stride."""
    if stride == 1:
        return image_BCHW
    missing = [_missing(image_BCHW.graph, image_BCHW.length(axis), stride) for axis in (2, 3)]
    return image_BCHW.pad((0, 0, 0, 0), (0, 0, *missing))


def _missing(graph: GraphBuilder, length: Value, stride: int) -> Value:
    # ONNX's Mod has the sign of the divisor: −length mod stride is what is missing.
    return graph.op("Mod", length * -1, graph.constant([stride], INT64))

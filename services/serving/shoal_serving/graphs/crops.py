"""Crops around animals, cut out of full-resolution frames.

Axis legend: B frames, C channels, H W frame pixels, M crops, s crop side, k pixel of a crop.
"""

from shoal_serving.graphs.builder import FLOAT, INT32, Value
from shoal_serving.graphs.preprocess import (
    PIXEL_SCALE,
    Scaling,
    pad_to_stride,
    resize_attributes,
    to_planes,
)


def crops(
    images_BHWC: Value,
    centers_px_M2: Value,
    frames_M: Value,
    side: int,
    channels: int,
    scaling: Scaling,
    max_stride: int,
) -> Value:
    """Returns network input [M, channels, s, s] around centres in full-frame pixels.

    Pixel k of a crop is the frame at centre − (side − 1) / 2 + k, bilinear, 0 where that lies
    outside the frame (TensorFlow's crop_and_resize, which SLEAP uses). The fraction of a
    pixel is the same for the whole crop, so each crop is the weighted sum of four crops at
    whole pixels, and only (side + 1)² pixels are read of each. Samples are not cut to whole
    gray levels: SLEAP does so when it predicts but not when it trains, which moves its nodes
    by up to 0.04 px.
    """
    origin_M2 = centers_px_M2 - (side - 1) / 2
    corner_M2 = origin_M2.graph.op("Floor", origin_M2)
    planes = to_planes(_cut(images_BHWC, corner_M2.cast(INT32), frames_M, side + 1), channels)
    for axis, column in ((2, 1), (3, 0)):
        length = images_BHWC.length(axis - 1).cast(FLOAT)
        start_M = origin_M2.slice(1, column, column + 1)
        near, far = _weights(start_M, corner_M2.slice(1, column, column + 1), length, side)
        # One row of weights per crop, along the axis that is blended: [M, 1, s, 1] or […, 1, s].
        other = 5 - axis
        near, far = near.unsqueeze(1, other), far.unsqueeze(1, other)
        if axis == 3:
            near, far = near * PIXEL_SCALE, far * PIXEL_SCALE
        planes = planes.slice(axis, 0, side) * near + planes.slice(axis, 1, side + 1) * far
    return pad_to_stride(_scaled(planes, scaling), max_stride)


def _scaled(crops_MCss: Value, scaling: Scaling) -> Value:
    """Returns the crops at floor(side · factor).

    Frames are stretched to a whole number of pixels, as in training. Crops are not: SLEAP's
    training scales before it cuts, so their pixels are 1 / factor apart whatever their side is.
    """
    if scaling.factor == 1.0:
        return crops_MCss
    graph = crops_MCss.graph
    scales = graph.constant([1, 1, scaling.factor, scaling.factor], FLOAT)
    how = resize_attributes(antialias=scaling.antialias)
    return graph.op("Resize", crops_MCss, Value(graph, "", FLOAT), scales, **how)


def crop_to_frame(points_px_MN2: Value, centers_px_M2: Value, side: int) -> Value:
    """Returns points of crops, in crop pixels at full resolution, in full-frame pixels."""
    return points_px_MN2 + (centers_px_M2 - (side - 1) / 2).unsqueeze(1)


def _cut(images_BHWC: Value, corner_M2: Value, frames_M: Value, side: int) -> Value:
    """Returns the pixels [M, side, side, C] from whole-pixel corners (edges repeated)."""
    graph = images_BHWC.graph
    steps = graph.constant(range(side), INT32)
    height, width = (images_BHWC.length(axis).cast(INT32) for axis in (1, 2))
    columns_Mk = (corner_M2.slice(1, 0, 1) + steps).clip(0, width - 1)
    rows_Mk = (corner_M2.slice(1, 1, 2) + steps).clip(0, height - 1)
    lines_Mk = (frames_M.unsqueeze(1) * height + rows_Mk) * width
    pixels_Mkk = lines_Mk.unsqueeze(2) + columns_Mk.unsqueeze(1)
    flat = graph.op("Reshape", images_BHWC, graph.shape_of((-1, images_BHWC.length(3))))
    return flat.gather(pixels_Mkk, axis=0)


def _weights(start_M1: Value, corner_M1: Value, length: Value, side: int) -> tuple[Value, Value]:
    """Returns the weights [M, s] of a crop pixel's nearer and farther frame pixel.

    Both are 0 where the sampled position lies outside 0 … length − 1.
    """
    steps = start_M1.like(range(side))
    position_Ms = start_M1 + steps
    inside_Ms = ((position_Ms >= 0.0) & (position_Ms <= length - 1.0)).cast(FLOAT)
    fraction_M1 = start_M1 - corner_M1
    return (1.0 - fraction_M1) * inside_Ms, fraction_M1 * inside_Ms

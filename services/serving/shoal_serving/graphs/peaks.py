"""Peaks of confidence maps: local, global, and their refinement below one map pixel.

Axis legend: B frames (or crops), N nodes, P peaks, h w map pixels, 2 = (x, y).
Positions are map pixels here: (x, y) of a pixel's centre, the top-left one is (0, 0).
"""

from dataclasses import dataclass
from typing import Literal

from shoal_serving.graphs.builder import FLOAT, INT64, Value

PATCH_REACH = 2
"""Refinement looks at 5 x 5 map pixels."""
LOWEST = -3.4e38


@dataclass(frozen=True)
class Peaks:
    """Peaks per frame and node; entries that are not `valid` hold arbitrary numbers."""

    positions_BNP2: Value
    values_BNP: Value
    valid_BNP: Value


def local_peaks(
    maps_BNhw: Value,
    threshold_B1: Value,
    count: int,
    offsets_BChw: Value | None,
    *,
    order: Literal["highest", "raster"] = "highest",
) -> tuple[Peaks, Value]:
    """Returns the `count` highest local peaks of each map and their overflow.

    They come highest first, or in raster order: row by row, as SLEAP numbers them, which
    decides between peaks that grouping finds equally good. Valid ones come first either way.

    A peak is above the threshold and greater than its eight neighbours; among equal ones the
    first in raster order counts as greater, so that a flat top is one peak. A threshold below
    0 counts as 0. Overflow [B, 1] is true where a map of the frame has more than `count`
    peaks.
    """
    flat_BNp = _peaks_only(maps_BNhw).merge_pixels()
    # Zeros behind the map: it may have fewer pixels than peaks are asked for.
    values, indices = flat_BNp.pad((0, 0, 0), (0, 0, count + 1)).top_k(count + 1, axis=2)
    found = values > threshold_B1.maximum(0.0).unsqueeze(2)
    surplus_BN = found.slice(2, count, count + 1).cast(FLOAT).squeeze(2)
    overflow_B1 = surplus_BN.reduce("ReduceMax", 1, keep=True) > 0.0
    indices, values = indices.slice(2, 0, count), values.slice(2, 0, count)
    valid_BNP = found.slice(2, 0, count)
    if order == "raster":
        rank = _raster_rank(indices, valid_BNP, count)
        indices, values = (
            indices.gather_elements(rank, axis=2),
            values.gather_elements(rank, axis=2),
        )
        # Valid ones stay in front, so which places are valid does not change.
    inside = indices.minimum(flat_BNp.length(2) - 1)
    positions = _refine(maps_BNhw, inside, offsets_BChw)
    return Peaks(positions, values, valid_BNP), overflow_B1


def _raster_rank(indices_BNP: Value, valid_BNP: Value, count: int) -> Value:
    """Returns the places in the order of their raster indices, those that are not valid last."""
    # As floats, which every engine sorts: exact for maps of up to 16 million pixels.
    backwards = indices_BNP.cast(FLOAT) * -1.0
    last = backwards.like(LOWEST)
    _, rank = indices_BNP.graph.where(valid_BNP, backwards, last).top_k(count, axis=2)
    return rank


def global_peaks(maps_BNhw: Value, threshold_B1: Value, offsets_BChw: Value | None) -> Peaks:
    """Returns the highest pixel of each map (P = 1), valid where it exceeds the threshold."""
    values, indices = maps_BNhw.merge_pixels().top_k(1, axis=2)
    positions = _refine(maps_BNhw, indices, offsets_BChw)
    return Peaks(positions, values, values > threshold_B1.unsqueeze(2))


def _peaks_only(maps_BNhw: Value) -> Value:
    """Returns the maps with every pixel that is no local peak set to 0."""
    graph = maps_BNhw.graph
    row = graph.op("MaxPool", maps_BNhw, kernel_shape=[1, 3], pads=[0, 1, 0, 1])
    around = graph.op("MaxPool", row, kernel_shape=[3, 1], pads=[1, 0, 1, 0])
    low = graph.constant(LOWEST, FLOAT)
    above = _shift(row, 2, low)
    left = _shift(maps_BNhw, 3, low)
    is_peak = (maps_BNhw > above.maximum(left)) & maps_BNhw.equals(around)
    # A product instead of Where, which takes three times as long.
    return maps_BNhw * is_peak.cast(FLOAT)


def _shift(maps_BNhw: Value, axis: int, fill: Value) -> Value:
    """Returns the maps moved by one pixel down (axis 2) or right (axis 3)."""
    pads = [0] * 8
    pads[axis], pads[axis + 4] = 1, -1
    return maps_BNhw.graph.op("Pad", maps_BNhw, maps_BNhw.graph.constant(pads, INT64), fill)


def _refine(maps_BNhw: Value, indices_BNP: Value, offsets_BChw: Value | None) -> Value:
    """Returns (x, y) [B, N, P, 2] of raster indices, refined by offset maps or integral."""
    width = maps_BNhw.length(3)
    rows = maps_BNhw.graph.op("Div", indices_BNP, width)
    columns = indices_BNP - rows * width
    rough = stack_xy(columns.cast(FLOAT), rows.cast(FLOAT))
    if offsets_BChw is not None:
        return rough + _learned_offsets(offsets_BChw, indices_BNP)
    return rough + _integral_offsets(maps_BNhw, rows, columns)


def stack_xy(x: Value, y: Value) -> Value:
    """Returns [..., 2] of two tensors of one shape [...] with three axes."""
    return x.graph.concat([x.unsqueeze(3), y.unsqueeze(3)], axis=3)


def _learned_offsets(offsets_BChw: Value, indices_BNP: Value) -> Value:
    """Returns the model's own offsets; channels are (x, y) of the first node, then the second."""
    flat_BCp = offsets_BChw.merge_pixels()
    flat_BN2p = flat_BCp.reshape(-1, indices_BNP.length(1), 2, flat_BCp.length(2))
    pairs_BN2P = indices_BNP.unsqueeze(2).expand(1, 1, 2, 1)
    return flat_BN2p.gather_elements(pairs_BN2P, axis=3).transpose(0, 1, 3, 2)


def _integral_offsets(maps_BNhw: Value, rows_BNP: Value, columns_BNP: Value) -> Value:
    """Returns Σ value · (dx, dy) / Σ value over the 5 × 5 patch; outside the map counts 0."""
    steps = range(-PATCH_REACH, PATCH_REACH + 1)
    dy = [y for y in steps for _ in steps]
    dx = [x for _ in steps for x in steps]
    height, width = maps_BNhw.length(2), maps_BNhw.length(3)
    y = rows_BNP.unsqueeze(3) + dy
    x = columns_BNP.unsqueeze(3) + dx
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    pixels = y.clip(0, height - 1) * width + x.clip(0, width - 1)
    values = maps_BNhw.merge_pixels().gather_elements(pixels.merge_pixels(), axis=2)
    shape = (-1, rows_BNP.length(1), rows_BNP.length(2), len(dy))
    weights = values.reshape(*shape) * inside.cast(FLOAT)
    total = weights.reduce("ReduceSum", 3)
    mean_x = (weights * weights.like(dx)).reduce("ReduceSum", 3) / total
    mean_y = (weights * weights.like(dy)).reduce("ReduceSum", 3) / total
    return stack_xy(mean_x, mean_y)

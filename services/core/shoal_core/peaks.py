"""Peaks of confidence maps: where the nodes are, in map pixels.

A local peak is a pixel above the threshold that no neighbour outdoes: it is greater than the
four of its 8 neighbours that come earlier in raster order (row by row) and not less than the
four that come later. Without ties this is the strict rule of SLEAP's software; with ties
(flat tops of reduced precision) it keeps one pixel where the strict rule drops the node.

These functions are the reference that served graphs are compared with.

Axis legend: B frames of a batch, H W map pixels, N nodes, Q peaks found in the whole batch,
P places per node, 2 = (x, y). Map pixels; `coordinates.map_to_frame` makes frame pixels.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

Maps = NDArray[np.floating[Any]]

_EARLIER = ((-1, -1), (-1, 0), (-1, 1), (0, -1))
"""(row, column) steps to the neighbours that come before a pixel in raster order."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of a batch, ordered by frame, then node, then falling value."""

    frames_Q: NDArray[np.intp]
    nodes_Q: NDArray[np.intp]
    points_map_Q2: NDArray[np.float32]
    values_Q: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values_Q)


@dataclass(frozen=True, eq=False)
class PaddedPeaks:
    """Peaks as the pose contract carries them: a fixed number of places per node."""

    peaks_BNP2: NDArray[np.float32]
    """NaN beyond the count."""
    peak_values_BNP: NDArray[np.float32]
    """0 beyond the count; falling along P."""
    peak_counts_BN: NDArray[np.int32]
    overflow_B: NDArray[np.int32]
    """1 where a node had more peaks than places; the weakest are left out."""


def local_peaks(maps_BHWN: Maps, threshold: float = 0.2) -> Peaks:
    """Returns every local peak above the threshold, on whole map pixels.

    Args:
        maps_BHWN: confidence maps; beyond the border there is nothing to outdo a pixel.
        threshold: the value that a peak must exceed (0.2 in SLEAP).

    Raises:
        InvalidArgument: MAPS_SHAPE_INVALID when the maps do not have four axes.
    """
    _check_maps(maps_BHWN)
    padded = np.pad(maps_BHWN, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    height, width = maps_BHWN.shape[1:3]
    is_peak_BHWN = maps_BHWN > threshold
    for row, column in _EARLIER:
        earlier = padded[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width]
        later = padded[:, 1 - row : 1 - row + height, 1 - column : 1 - column + width]
        is_peak_BHWN &= (maps_BHWN > earlier) & (maps_BHWN >= later)
    frames_Q, rows_Q, columns_Q, nodes_Q = np.nonzero(is_peak_BHWN)
    values_Q = maps_BHWN[frames_Q, rows_Q, columns_Q, nodes_Q].astype(np.float32)
    order_Q = np.lexsort((-values_Q, nodes_Q, frames_Q))
    points_Q2 = np.stack((columns_Q, rows_Q), axis=1).astype(np.float32)
    return Peaks(frames_Q[order_Q], nodes_Q[order_Q], points_Q2[order_Q], values_Q[order_Q])


def global_peaks(maps_BHWN: Maps, threshold: float = 0.2) -> Peaks:
    """Returns at most one peak per frame and node: the greatest pixel, if above the threshold.

    Of equal pixels the first in raster order is taken.

    Raises:
        InvalidArgument: MAPS_SHAPE_INVALID when the maps do not have four axes.
    """
    _check_maps(maps_BHWN)
    batch, height, width, nodes = maps_BHWN.shape
    flat_BSN = maps_BHWN.reshape(batch, height * width, nodes)
    where_BN = flat_BSN.argmax(axis=1)
    values_BN = np.take_along_axis(flat_BSN, where_BN[:, None], axis=1)[:, 0]
    frames_Q, nodes_Q = np.nonzero(values_BN > threshold)
    rows_Q, columns_Q = np.divmod(where_BN[frames_Q, nodes_Q], width)
    return Peaks(
        frames_Q,
        nodes_Q,
        np.stack((columns_Q, rows_Q), axis=1).astype(np.float32),
        values_BN[frames_Q, nodes_Q].astype(np.float32),
    )


def refine_integral(maps_BHWN: Maps, peaks: Peaks, patch_size: int = 5) -> Peaks:
    """Returns the peaks moved to the centre of mass of the patch around each of them.

    offset = Σ v·d / Σ v over the patch, values beyond the border being 0 ("integral
    refinement" of SLEAP, 5 × 5). A patch cuts the flanks of a Gaussian, so the offset is a
    little short for wide maps: at most 0.03 px for σ = 0.9 map pixels, 0.19 px for σ = 1.5.

    Args:
        maps_BHWN: the maps in which the peaks were found.
        peaks: peaks on whole map pixels.
        patch_size: side of the patch in map pixels, odd.

    Raises:
        InvalidArgument: PATCH_SIZE_INVALID when the patch has no middle pixel.
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise InvalidArgument(
            "PATCH_SIZE_INVALID",
            f"A refinement patch of {patch_size} px has no middle pixel; give an odd size.",
            patch_size=patch_size,
        )
    half = patch_size // 2
    padded = np.pad(maps_BHWN, ((0, 0), (half, half), (half, half), (0, 0)))
    steps_S = np.arange(patch_size)
    columns_Q, rows_Q = peaks.points_map_Q2.astype(np.intp).T
    patches_QSS = padded[
        peaks.frames_Q[:, None, None],
        rows_Q[:, None, None] + steps_S[:, None],
        columns_Q[:, None, None] + steps_S,
        peaks.nodes_Q[:, None, None],
    ].astype(np.float32)
    shift_S = (steps_S - half).astype(np.float32)
    moments_Q2 = np.stack(
        (patches_QSS.sum(axis=1) @ shift_S, patches_QSS.sum(axis=2) @ shift_S), axis=1
    )
    mass_Q1 = patches_QSS.sum(axis=(1, 2))[:, None]
    offsets_Q2 = np.zeros_like(moments_Q2)
    np.divide(moments_Q2, mass_Q1, out=offsets_Q2, where=mass_Q1 != 0)
    return replace(peaks, points_map_Q2=peaks.points_map_Q2 + offsets_Q2)


def refine_offsets(offset_maps_BHWN2: Maps, peaks: Peaks) -> Peaks:
    """Returns the peaks moved by the model's own offset maps (SLEAP's OffsetRefinementHead).

    Args:
        offset_maps_BHWN2: per pixel and node the (x, y) step to the node, in map pixels.
        peaks: peaks on whole map pixels of the same grid.
    """
    columns_Q, rows_Q = peaks.points_map_Q2.astype(np.intp).T
    offsets_Q2 = offset_maps_BHWN2[peaks.frames_Q, rows_Q, columns_Q, peaks.nodes_Q]
    return replace(peaks, points_map_Q2=peaks.points_map_Q2 + offsets_Q2.astype(np.float32))


def pad_peaks(peaks: Peaks, batch_size: int, node_count: int, places: int) -> PaddedPeaks:
    """Returns the peaks in P = `places` places per node, strongest first.

    More peaks than places set the frame's overflow; nothing is left out silently.
    """
    group_Q = peaks.frames_Q * node_count + peaks.nodes_Q
    found_BN = np.bincount(group_Q, minlength=batch_size * node_count)
    # Rank within the group: peaks come ordered by group, then falling value.
    rank_Q = np.arange(len(peaks)) - (np.cumsum(found_BN) - found_BN)[group_Q]
    kept_Q = rank_Q < places
    peaks_GP2 = np.full((batch_size * node_count, places, 2), np.nan, np.float32)
    values_GP = np.zeros((batch_size * node_count, places), np.float32)
    peaks_GP2[group_Q[kept_Q], rank_Q[kept_Q]] = peaks.points_map_Q2[kept_Q]
    values_GP[group_Q[kept_Q], rank_Q[kept_Q]] = peaks.values_Q[kept_Q]
    counts_BN = found_BN.reshape(batch_size, node_count)
    return PaddedPeaks(
        peaks_BNP2=peaks_GP2.reshape(batch_size, node_count, places, 2),
        peak_values_BNP=values_GP.reshape(batch_size, node_count, places),
        peak_counts_BN=np.minimum(counts_BN, places).astype(np.int32),
        overflow_B=np.any(counts_BN > places, axis=1).astype(np.int32),
    )


def _check_maps(maps_BHWN: Maps) -> None:
    if maps_BHWN.ndim != 4:
        raise InvalidArgument(
            "MAPS_SHAPE_INVALID",
            f"Confidence maps have axes (frame, row, column, node); got {maps_BHWN.ndim} axes.",
            axis_count=maps_BHWN.ndim,
        )

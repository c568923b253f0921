"""What a network is trained to draw: confidence maps, fields, class maps, offsets.

Axis legend: I instances, N nodes, E edges, K classes, H W map pixels, 2 = (x, y). Points are
network input pixels; map pixel c lies on input pixel c · output_stride. A missing node is
(NaN, NaN) and draws nothing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

Points = NDArray[np.floating[Any]]
Maps = NDArray[np.float32]


def confidence_maps(
    points_px_IN2: Points,
    map_size_hw: tuple[int, int],
    *,
    output_stride: int,
    sigma_map_px: float,
) -> Maps:
    """Returns (H, W, N) maps: per node the maximum over instances of a Gaussian of height 1.

    exp(−|x − p|² / 2σ²) with σ = sigma_map_px · output_stride input pixels: `sigma_map_px` is
    in pixels of the map, as "sigma" is in SLEAP's training configuration (SLEAP, Nature
    Methods 2022, "Confidence maps").

    Args:
        points_px_IN2: (I, N, 2) network input pixels.
        map_size_hw: height and width of the maps in map pixels.
        output_stride: network input pixels per map pixel.
        sigma_map_px: standard deviation in map pixels.

    Raises:
        InvalidArgument: TARGET_INVALID when sigma or stride is not positive.
    """
    maps_HWN = np.zeros((*map_size_hw, points_px_IN2.shape[1]), np.float32)
    for gaussian_HWN in _gaussians(points_px_IN2, map_size_hw, output_stride, sigma_map_px):
        np.maximum(maps_HWN, gaussian_HWN, out=maps_HWN)
    return maps_HWN


def part_affinity_fields(
    points_px_IN2: Points,
    edges: tuple[tuple[int, int], ...],
    map_size_hw: tuple[int, int],
    *,
    output_stride: int,
    sigma_px: float,
) -> Maps:
    """Returns (H, W, E, 2) fields: the edge's unit vector, weighted by nearness to the edge.

    The weight is exp(−d⁴ / 2σ²), d being the distance in input pixels to the edge's segment
    (not its line), summed over instances. The paper prints exp(−M / 2σ²) with M the distance;
    its software, followed here, puts the squared distance into a Gaussian. Unlike that of
    confidence maps, `sigma_px` is not multiplied by the stride. (Part affinity fields: Cao et
    al., CVPR 2017.)

    Args:
        points_px_IN2: (I, N, 2) network input pixels; an edge with a missing end is not drawn.
        edges: (source, destination) node indices; the field points to the destination.
        map_size_hw: height and width of the fields in map pixels.
        output_stride: network input pixels per map pixel.
        sigma_px: spread as in the formula (input pixels, squared by the formula).

    Raises:
        InvalidArgument: TARGET_INVALID when sigma or stride is not positive.
    """
    _check(output_stride, sigma_px)
    fields_HWE2 = np.zeros((*map_size_hw, len(edges), 2), np.float32)
    grid_HW2 = _grid(map_size_hw, output_stride)
    for points_N2 in points_px_IN2.astype(np.float32):
        for edge, (source, destination) in enumerate(edges):
            vector_2 = points_N2[destination] - points_N2[source]
            length_px = float(np.hypot(*vector_2))
            if not length_px > 0:  # NaN (a missing end) included
                continue
            relative_HW2 = grid_HW2 - points_N2[source]
            # The software never divides by less than 1 px², which matters for tiny edges only.
            along_HW = np.clip(relative_HW2 @ vector_2 / max(length_px**2, 1.0), 0, 1)
            off_HW2 = relative_HW2 - along_HW[..., None] * vector_2
            squared_HW = np.square(off_HW2).sum(axis=2)
            weight_HW = np.exp(-np.square(squared_HW) / (2 * sigma_px**2))
            fields_HWE2[:, :, edge] += weight_HW[..., None] * (vector_2 / length_px)
    return fields_HWE2


def class_maps(
    points_px_IN2: Points,
    class_indices_I: NDArray[np.integer[Any]],
    class_count: int,
    map_size_hw: tuple[int, int],
    *,
    output_stride: int,
    sigma_map_px: float,
    threshold: float = 0.2,
) -> Maps:
    """Returns (H, W, K) maps: who owns the pixels around each animal's nodes.

    Each instance's confidence map (maximum over its nodes), where it exceeds `threshold`,
    divided by the sum over instances, goes to the instance's class; a class takes the maximum
    over its instances. A pixel near one animal only is 1, a disputed one is shared.

    Args:
        points_px_IN2: (I, N, 2) network input pixels.
        class_indices_I: class of each instance; −1: none, which draws in no channel but
            still disputes pixels.
        class_count: number of classes K.
        map_size_hw: height and width of the maps in map pixels.
        output_stride: network input pixels per map pixel.
        sigma_map_px: standard deviation in map pixels.
        threshold: confidence at or below which an instance owns nothing.

    Raises:
        InvalidArgument: TARGET_INVALID when sigma or stride is not positive.
        InvalidArgument: CLASS_INVALID when a class index is not below `class_count`.
    """
    _check_classes(class_indices_I, class_count)
    maps_HWK = np.zeros((*map_size_hw, class_count), np.float32)
    owners = [
        gaussian_HWN.max(axis=2)
        for gaussian_HWN in _gaussians(points_px_IN2, map_size_hw, output_stride, sigma_map_px)
    ]
    total_HW = np.sum(owners, axis=0, initial=0.0)
    for class_index, owner_HW in zip(class_indices_I, owners, strict=True):
        if class_index < 0:
            continue
        share_HW = np.zeros_like(owner_HW)
        np.divide(owner_HW, total_HW, out=share_HW, where=owner_HW > threshold)
        np.maximum(maps_HWK[:, :, class_index], share_HW, out=maps_HWK[:, :, class_index])
    return maps_HWK


def class_discs(
    points_px_IN2: Points,
    class_indices_I: NDArray[np.integer[Any]],
    class_count: int,
    map_size_hw: tuple[int, int],
    *,
    output_stride: int,
    radius_map_px: float,
) -> Maps:
    """Returns (H, W, K) maps of 0 and 1: 1 within a radius of a node of an animal of the class.

    The binary form of class maps (SLEAP, Nature Methods 2022, "Identity"); `class_maps` is the
    graded one of its software. Where animals of two classes meet, both are 1.

    Args:
        points_px_IN2: (I, N, 2) network input pixels.
        class_indices_I: class of each instance; −1: none, which draws nothing.
        class_count: number of classes K.
        map_size_hw: height and width of the maps in map pixels.
        output_stride: network input pixels per map pixel.
        radius_map_px: radius in map pixels; a pixel just so far away is inside.

    Raises:
        InvalidArgument: TARGET_INVALID when radius or stride is not positive.
        InvalidArgument: CLASS_INVALID when a class index is not below `class_count`.
    """
    _check(output_stride, radius_map_px)
    _check_classes(class_indices_I, class_count)
    maps_HWK = np.zeros((*map_size_hw, class_count), np.float32)
    for points_N2, class_index in zip(points_px_IN2, class_indices_I, strict=True):
        if class_index < 0:
            continue
        squared_HWN = _squared_distances(points_N2, map_size_hw, output_stride)
        inside_HW = (squared_HWN <= np.float32(radius_map_px**2)).any(axis=2)
        maps_HWK[inside_HW, class_index] = 1
    return maps_HWK


def offset_maps(
    points_px_IN2: Points,
    map_size_hw: tuple[int, int],
    *,
    output_stride: int,
    sigma_map_px: float,
    threshold: float = 0.2,
) -> Maps:
    """Returns (H, W, N, 2) maps: the step from each pixel to the nearest instance's node.

    In map pixels, as `shoal_core.peaks.refine_offsets` takes it; NaN where the confidence map
    of the node (`confidence_maps` with this sigma) is at or below `threshold`, since a peak is
    never there.

    Raises:
        InvalidArgument: TARGET_INVALID when sigma or stride is not positive.
    """
    _check(output_stride, sigma_map_px)
    node_count = points_px_IN2.shape[1]
    maps_HWN2 = np.full((*map_size_hw, node_count, 2), np.nan, np.float32)
    nearest_HWN = np.full((*map_size_hw, node_count), -2 * np.log(threshold), np.float32)
    nearest_HWN *= np.float32(sigma_map_px**2)
    grid_HW2 = _grid(map_size_hw, 1)
    for points_N2 in points_px_IN2:
        squared_HWN = _squared_distances(points_N2, map_size_hw, output_stride)
        steps_HWN2 = points_N2.astype(np.float32) / np.float32(output_stride) - grid_HW2[:, :, None]
        closer_HWN = squared_HWN < nearest_HWN
        maps_HWN2[closer_HWN] = steps_HWN2[closer_HWN]
        nearest_HWN[closer_HWN] = squared_HWN[closer_HWN]
    return maps_HWN2


def _squared_distances(
    points_px_N2: Points, map_size_hw: tuple[int, int], output_stride: int
) -> Maps:
    """(H, W, N) squared distances in map pixels; NaN for a missing node."""
    points_map_N2 = points_px_N2.astype(np.float32) / np.float32(output_stride)
    away_HWN2 = _grid(map_size_hw, 1)[:, :, None] - points_map_N2
    return np.asarray(np.square(away_HWN2[..., 0]) + np.square(away_HWN2[..., 1]))


def _gaussians(
    points_px_IN2: Points, map_size_hw: tuple[int, int], output_stride: int, sigma_map_px: float
) -> list[Maps]:
    """One (H, W, N) map per instance; the Gaussian is separable, so two outer factors do."""
    _check(output_stride, sigma_map_px)
    height, width = map_size_hw
    points_map_IN2 = points_px_IN2.astype(np.float32) / np.float32(output_stride)
    scale = np.float32(-1 / (2 * sigma_map_px**2))
    rows_INH = np.exp(
        scale * np.square(np.arange(height, dtype=np.float32) - points_map_IN2[..., 1:])
    )
    columns_INW = np.exp(
        scale * np.square(np.arange(width, dtype=np.float32) - points_map_IN2[..., :1])
    )
    visible_IN1 = ~np.isnan(points_map_IN2).any(axis=2, keepdims=True)
    rows_INH = np.where(visible_IN1, rows_INH, 0)
    columns_INW = np.where(visible_IN1, columns_INW, 0)
    return [
        rows_NH.T[:, None, :] * columns_NW.T[None, :, :]
        for rows_NH, columns_NW in zip(rows_INH, columns_INW, strict=True)
    ]


def _grid(map_size_hw: tuple[int, int], output_stride: int) -> NDArray[np.float32]:
    height, width = map_size_hw
    x_HW, y_HW = np.meshgrid(np.arange(width), np.arange(height))
    return (np.stack((x_HW, y_HW), axis=2) * output_stride).astype(np.float32)


def _check(output_stride: int, sigma: float) -> None:
    if not (output_stride > 0 and sigma > 0):
        raise InvalidArgument(
            "TARGET_INVALID",
            f"Output stride {output_stride} and spread {sigma} must be positive.",
            output_stride=output_stride,
            sigma=sigma,
        )


def _check_classes(class_indices_I: NDArray[np.integer[Any]], class_count: int) -> None:
    if len(class_indices_I) and int(class_indices_I.max()) >= class_count:
        raise InvalidArgument(
            "CLASS_INVALID",
            f"Class {int(class_indices_I.max())} does not exist; there are {class_count}.",
            class_index=int(class_indices_I.max()),
            class_count=class_count,
        )

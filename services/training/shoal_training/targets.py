"""What the heads of a network should say about a batch, drawn in PyTorch.

The same as `shoal_core.targets`, which is the reference, for a whole batch at once. Axis legend:
B images, I instances, N nodes, E edges, K classes, H W map pixels, 2 = (x, y). Points of nodes
are pixels of the map (network input pixels / stride), but where a name says otherwise; NaN:
missing.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from shoal_core.skeleton import Skeleton
from shoal_training.config import ClassMapsHead, HeadsConfig, ModelKind, PafsHead
from shoal_training.config_checks import CROP_KINDS
from shoal_training.heads import (
    CLASS_MAPS_HEAD,
    CLASS_VECTORS_HEAD,
    OFFSETS_HEAD,
    PAF_HEAD,
    HeadSpec,
)

OFFSET_THRESHOLD = 0.2
"""Confidence at or below which there is no peak, so no offset either."""


class Targets:
    """Draws the targets of every head."""

    def __init__(
        self, kind: ModelKind, config: HeadsConfig, heads: Sequence[HeadSpec], skeleton: Skeleton
    ) -> None:
        self._one_animal = kind in CROP_KINDS
        self._sigma_map_px = config.confmaps.sigma_map_px
        self._pafs = config.pafs or PafsHead()
        self._class_maps = config.class_maps or ClassMapsHead()
        self._heads = heads
        self._edges = skeleton.edges

    def draw(
        self, points_px_BIN2: Tensor, classes_BI: Tensor, size_hw: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Returns head name → target, on the device of the points.

        Maps are [B, channels, H, W]; of spatial softmax heads it is the nodes instead,
        [B, N, 2] map pixels; of offsets it is NaN where no node is near; of class vectors it is
        the class [B] (−1: none).

        Args:
            points_px_BIN2: network input pixels; of crops, instance 0 is the animal that was cut
                out, and the others are not drawn.
            classes_BI: class of each instance; −1: none.
            size_hw: height and width of the network's input.
        """
        if self._one_animal:
            points_px_BIN2, classes_BI = points_px_BIN2[:, :1], classes_BI[:, :1]
        return {
            head.name: self._draw(head, points_px_BIN2, classes_BI, size_hw) for head in self._heads
        }

    def _draw(
        self, head: HeadSpec, points_px_BIN2: Tensor, classes_BI: Tensor, size_hw: tuple[int, int]
    ) -> Tensor:
        points_BIN2 = points_px_BIN2 / head.stride
        map_hw = (size_hw[0] // head.stride, size_hw[1] // head.stride)
        if head.name == CLASS_VECTORS_HEAD:
            return classes_BI[:, 0]
        if head.name == CLASS_MAPS_HEAD:
            radius = self._class_maps.radius_map_px
            return class_discs(points_BIN2, classes_BI, head.channels, map_hw, radius)
        if head.name == PAF_HEAD:
            spread = self._pafs.sigma_px
            return part_affinity_fields(points_px_BIN2, self._edges, map_hw, head.stride, spread)
        if head.name == OFFSETS_HEAD:
            return offset_maps(points_BIN2, map_hw, self._sigma_map_px)
        if head.output == "spatial_softmax":
            return points_BIN2[:, 0]
        return confidence_maps(points_BIN2, map_hw, self._sigma_map_px)


def confidence_maps(
    points_BIN2: Tensor, map_size_hw: tuple[int, int], sigma_map_px: float
) -> Tensor:
    """Returns [B, N, H, W] as `shoal_core.targets.confidence_maps`."""
    x_W, y_H = _axes(points_BIN2, map_size_hw)
    scale = -1 / (2 * sigma_map_px**2)
    # A missing coordinate makes exp(NaN), which nan_to_num turns into nothing drawn.
    rows = torch.exp(scale * (y_H - points_BIN2[..., 1:]).square()).nan_to_num(nan=0)
    columns = torch.exp(scale * (x_W - points_BIN2[..., :1]).square()).nan_to_num(nan=0)
    batch, instances, nodes, _ = points_BIN2.shape
    maps = points_BIN2.new_zeros((batch, nodes, *map_size_hw))
    for instance in range(instances):  # one at a time: instances · maps would not fit in memory
        gaussian = rows[:, instance, :, :, None] * columns[:, instance, :, None, :]
        torch.maximum(maps, gaussian, out=maps)
    return maps


def part_affinity_fields(
    points_px_BIN2: Tensor,
    edges: Sequence[tuple[int, int]],
    map_size_hw: tuple[int, int],
    stride: int,
    sigma_px: float,
) -> Tensor:
    """Returns [B, 2 E, H, W], x and y of the first edge first, as `part_affinity_fields` of core.

    Args:
        points_px_BIN2: network input pixels.
        edges: (source, destination) node indices.
        map_size_hw: height and width of the fields in map pixels.
        stride: network input pixels per map pixel.
        sigma_px: spread as in the reference (input pixels).
    """
    x_W, y_H = _axes(points_px_BIN2, map_size_hw)
    x_1W, y_H1 = x_W * stride, (y_H * stride)[:, None]
    batch, instances = points_px_BIN2.shape[:2]
    fields = points_px_BIN2.new_zeros((batch, len(edges), 2, *map_size_hw))
    for edge, (source, destination) in enumerate(edges):
        starts_BI2 = points_px_BIN2[:, :, source]
        vectors_BI2 = points_px_BIN2[:, :, destination] - starts_BI2
        lengths_BI = torch.hypot(vectors_BI2[..., 0], vectors_BI2[..., 1])
        drawn_BI = lengths_BI > 0  # NaN (a missing end) is not
        starts_BI2 = torch.where(drawn_BI[..., None], starts_BI2, 0)
        vectors_BI2 = torch.where(drawn_BI[..., None], vectors_BI2, 0)
        units_BI2 = vectors_BI2 / torch.where(drawn_BI, lengths_BI, 1)[..., None]
        for instance in range(instances):
            start, vector = starts_BI2[:, instance], vectors_BI2[:, instance]
            dx, dy = x_1W - start[:, 0, None, None], y_H1 - start[:, 1, None, None]
            vx, vy = vector[:, 0, None, None], vector[:, 1, None, None]
            along = (dx * vx + dy * vy) / (vx.square() + vy.square()).clamp(min=1)
            along = along.clamp(0, 1)
            squared = (dx - along * vx).square() + (dy - along * vy).square()
            weight_BHW = torch.exp(squared.square() / (-2 * sigma_px**2))
            fields[:, edge] += weight_BHW[:, None] * units_BI2[:, instance, :, None, None]
    return fields.flatten(1, 2)


def class_discs(
    points_BIN2: Tensor,
    classes_BI: Tensor,
    class_count: int,
    map_size_hw: tuple[int, int],
    radius_map_px: float,
) -> Tensor:
    """Returns [B, K, H, W] of 0 and 1 as `shoal_core.targets.class_discs`."""
    batch, instances, nodes, _ = points_BIN2.shape
    maps = points_BIN2.new_zeros((batch, class_count, *map_size_hw))
    indices_K = torch.arange(class_count, device=maps.device)
    for instance in range(instances):
        inside_BHW = torch.zeros_like(maps[:, 0], dtype=torch.bool)
        for node in range(nodes):
            squared = _squared_distances(points_BIN2[:, instance, node], map_size_hw)
            inside_BHW |= squared <= radius_map_px**2
        of_class_BK = classes_BI[:, instance, None] == indices_K
        disc = of_class_BK[:, :, None, None] & inside_BHW[:, None]
        torch.maximum(maps, disc.to(maps.dtype), out=maps)
    return maps


def offset_maps(points_BIN2: Tensor, map_size_hw: tuple[int, int], sigma_map_px: float) -> Tensor:
    """Returns [B, 2 N, H, W], x and y of the first node first, as core's `offset_maps`."""
    batch, instances, nodes, _ = points_BIN2.shape
    x_W, y_H = _axes(points_BIN2, map_size_hw)
    maps = points_BIN2.new_full((batch, nodes, 2, *map_size_hw), math.nan)
    furthest = -2 * math.log(OFFSET_THRESHOLD) * sigma_map_px**2
    nearest_BNHW = points_BIN2.new_full((batch, nodes, *map_size_hw), furthest)
    for instance in range(instances):
        points_BN2 = points_BIN2[:, instance]
        squared_BNHW = _squared_distances(points_BN2, map_size_hw)
        dx = (points_BN2[..., 0, None, None] - x_W).expand_as(squared_BNHW)
        dy = (points_BN2[..., 1, None, None] - y_H[:, None]).expand_as(squared_BNHW)
        closer_BNHW = squared_BNHW < nearest_BNHW
        maps = torch.where(closer_BNHW[:, :, None], torch.stack((dx, dy), dim=2), maps)
        nearest_BNHW = torch.where(closer_BNHW, squared_BNHW, nearest_BNHW)
    return maps.flatten(1, 2)


def _squared_distances(points: Tensor, map_size_hw: tuple[int, int]) -> Tensor:
    """[…, H, W] squared distances to points […, 2]; NaN for a missing one."""
    x_W, y_H = _axes(points, map_size_hw)
    squared_W = (x_W - points[..., :1]).square()
    squared_H = (y_H - points[..., 1:]).square()
    return squared_H[..., :, None] + squared_W[..., None, :]


def _axes(points: Tensor, map_size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Map coordinates x [W] and y [H], on the points' device."""
    height, width = map_size_hw
    return (
        torch.arange(width, dtype=points.dtype, device=points.device),
        torch.arange(height, dtype=points.dtype, device=points.device),
    )

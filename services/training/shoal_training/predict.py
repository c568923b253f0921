"""Poses of a frame by one network: the path of the served graphs, in PyTorch and numpy.

What it finds is what serving finds: an export is checked against it.

Axis legend: B images (a frame, or its crops), I instances, N nodes, K classes, P peaks of a node,
H W pixels, h w map pixels, 2 = (x, y).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal_core.class_grouping import assign_classes, group_class_parts
from shoal_core.coordinates import crop_origins, crop_to_frame, map_to_frame
from shoal_core.errors import InvalidArgument
from shoal_core.grouping import group_parts
from shoal_core.pafs import edge_scores
from shoal_core.peaks import (
    PaddedPeaks,
    Peaks,
    global_peaks,
    local_peaks,
    pad_peaks,
    refine_integral,
    refine_offsets,
)
from shoal_core.pose import FramePoses
from shoal_training.heads import (
    CLASS_MAPS_HEAD,
    CLASS_VECTORS_HEAD,
    CONFIDENCE_HEADS,
    OFFSETS_HEAD,
    PAF_HEAD,
    HeadSpec,
)
from shoal_training.model_spec import ModelSpec
from shoal_training.network_input import crop_input, crop_side, frame_input

Array = NDArray[np.float32]
Image = NDArray[np.uint8]

InferenceFunction = Callable[[Tensor], dict[str, Tensor]]
"""A network as serving runs it: images (B, C, H, W), 0 … 1 → heads by name."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network saw of a frame, and what it said."""

    images_BCHW: Array
    """0 … 1."""
    outputs: dict[str, Array]
    """Maps (B, h, w, channels) and vectors (B, channels) by head."""


@dataclass(frozen=True, eq=False)
class CropPoses:
    """What was found in crops: one animal each."""

    points_px_IN2: Array
    """Frame pixels; NaN where a node was not found."""
    point_scores_IN: Array
    classes_IK: Array | None
    """Class probabilities of ID models."""


class Predictor:
    """Finds poses in frames with one network."""

    def __init__(
        self, network: InferenceFunction, spec: ModelSpec, device: torch.device | None = None
    ) -> None:
        """Takes a network that infers (`PoseNetwork.inference_network()`), and what it is.

        Args:
            network: gives every head of `spec`; of a module, in evaluation mode.
            spec: how pixels reach it and what its heads say.
            device: where the network is; None: the CPU.
        """
        self.spec = spec
        self._network = network
        self._device = device or torch.device("cpu")

    def __call__(
        self, image_HWC: Image, centroids_px_I2: Array | None = None, frame_index: int = 0
    ) -> FramePoses:
        """Returns the animals of a frame, in frame pixels.

        Of centroid models they have one node; of ID models the track is the index of the class.

        Args:
            image_HWC: the whole frame, gray or RGB.
            centroids_px_I2: where the animals are; needed by models that see crops, and by no
                others. A crop without any node is no animal.
            frame_index: goes into the result.

        Raises:
            InvalidArgument: CENTROIDS_MISSING when a model that sees crops is given none.
        """
        match self.spec.kind:
            case "centered_instance" | "multiclass_centered_instance":
                return self._animals_of_crops(image_HWC, centroids_px_I2, frame_index)
            case "single_instance":
                return self._only_animal(image_HWC, frame_index)
            case "centroid":
                return self._centroids(image_HWC, frame_index)
            case "bottomup" | "multiclass_bottomup":
                return self._grouped(image_HWC, frame_index)
            case _:
                assert_never(self.spec.kind)

    def see(self, image_HWC: Image, centroids_px_I2: Array | None = None) -> Seen:
        """Returns the network's input and outputs for a frame (or for crops of it).

        Raises:
            InvalidArgument: CENTROIDS_MISSING when a model that sees crops is given none.
        """
        if not self.spec.sees_crops:
            images = frame_input(image_HWC, self.spec)
        elif centroids_px_I2 is None:
            raise InvalidArgument(
                "CENTROIDS_MISSING",
                f"A {self.spec.kind} model sees crops: give the animals' centroids.",
                kind=self.spec.kind,
            )
        else:
            images = crop_input(image_HWC, centroids_px_I2, self.spec)
        with torch.inference_mode():
            outputs = self._network(images.to(self._device))
        found = {name: output.float().cpu().numpy() for name, output in outputs.items()}
        return Seen(
            images.numpy(),
            {
                name: np.moveaxis(output, 1, -1) if output.ndim == 4 else output
                for name, output in found.items()
            },
        )

    def in_crops(self, image_HWC: Image, centroids_px_I2: Array | None) -> CropPoses:
        """Returns what is in the crop around each centroid, in their order.

        Raises:
            InvalidArgument: CENTROIDS_MISSING.
        """
        seen = self.see(image_HWC, centroids_px_I2)
        peaks = self._padded(self._global_peaks(seen), len(seen.images_BCHW), places=1)
        origins_I2 = crop_origins(np.asarray(centroids_px_I2, np.float32), crop_side(self.spec))
        in_crop_IN2 = self._to_frame(peaks.peaks_BNP2[:, :, 0])
        return CropPoses(
            points_px_IN2=crop_to_frame(in_crop_IN2, origins_I2),
            point_scores_IN=peaks.peak_values_BNP[:, :, 0],
            classes_IK=seen.outputs[CLASS_VECTORS_HEAD] if self.spec.classes else None,
        )

    def _animals_of_crops(
        self, image_HWC: Image, centroids_px_I2: Array | None, frame_index: int
    ) -> FramePoses:
        found = self.in_crops(image_HWC, centroids_px_I2)
        ones_I = np.ones(len(found.points_px_IN2), np.float32)
        poses = FramePoses.untracked(
            frame_index, found.points_px_IN2, found.point_scores_IN, ones_I
        )
        keep_I = _with_nodes(found.points_px_IN2)
        poses = poses.select(keep_I)
        if found.classes_IK is None:
            return poses
        return assign_classes(poses, found.classes_IK[keep_I])

    def _only_animal(self, image_HWC: Image, frame_index: int) -> FramePoses:
        peaks = self._padded(self._global_peaks(self.see(image_HWC)), 1, places=1)
        values_1N = peaks.peak_values_BNP[:, :, 0]
        points_1N2 = self._to_frame(peaks.peaks_BNP2[:, :, 0])
        # The score is the sum of the nodes' scores, as in SLEAP.
        poses = FramePoses.untracked(frame_index, points_1N2, values_1N, values_1N.sum(axis=1))
        return poses.select(_with_nodes(points_1N2))

    def _centroids(self, image_HWC: Image, frame_index: int) -> FramePoses:
        seen = self.see(image_HWC)
        peaks = self._refined(seen, self._highest_peaks(seen, self.spec.max_instances))
        scores_I = peaks.values_Q
        points_I12 = self._to_frame(peaks.points_map_Q2)[:, None]
        return FramePoses.untracked(frame_index, points_I12, scores_I[:, None], scores_I)

    def _grouped(self, image_HWC: Image, frame_index: int) -> FramePoses:
        seen = self.see(image_HWC)
        places = self.spec.max_peaks_per_node
        # Raster order decides between assignments that are equally good.
        found = self._refined(seen, _in_raster_order(self._highest_peaks(seen, places)))
        peaks = self._padded(found, 1, places)
        points_NP2, values_NP = self._to_frame(peaks.peaks_BNP2[0]), peaks.peak_values_BNP[0]
        if self.spec.kind == "multiclass_bottomup":
            classes = _nearest(
                seen.outputs[CLASS_MAPS_HEAD], self._on_map(peaks.peaks_BNP2, CLASS_MAPS_HEAD)
            )
            return group_class_parts(points_NP2, values_NP, classes[0], frame_index=frame_index)
        fields = seen.outputs[PAF_HEAD]
        edges = self.spec.skeleton.edges
        scores = edge_scores(
            fields.reshape(*fields.shape[:3], len(edges), 2),
            self._on_map(peaks.peaks_BNP2, PAF_HEAD),
            edges,
        )
        return group_parts(
            points_NP2,
            values_NP,
            scores[0],
            skeleton=self.spec.skeleton,
            frame_size_px=(image_HWC.shape[0], image_HWC.shape[1]),
            frame_index=frame_index,
        )

    @property
    def confidence(self) -> HeadSpec:
        """The head with the confidence maps.

        Raises:
            InvalidArgument: HEAD_MISSING when the network has none of the model's kind.
        """
        return self._head(CONFIDENCE_HEADS[self.spec.kind])

    def _head(self, name: str) -> HeadSpec:
        head = self.spec.head(name)
        if head is None:
            raise InvalidArgument(
                "HEAD_MISSING",
                f"The {self.spec.kind} network has no {name}; train a network of that kind.",
                kind=self.spec.kind,
                head=name,
            )
        return head

    def _global_peaks(self, seen: Seen) -> Peaks:
        maps = seen.outputs[self.confidence.name]
        return self._refined(seen, global_peaks(maps, self.spec.peak_threshold))

    def _highest_peaks(self, seen: Seen, places: int) -> Peaks:
        """Returns the highest local peaks of each node on whole map pixels, highest first."""
        maps = seen.outputs[self.confidence.name]
        # A threshold below 0 counts as 0, as in the served graphs.
        peaks = local_peaks(maps, max(self.spec.peak_threshold, 0.0))
        first_Q = np.searchsorted(peaks.nodes_Q, peaks.nodes_Q)
        return _select(peaks, np.arange(len(peaks)) - first_Q < places)

    def _refined(self, seen: Seen, peaks: Peaks) -> Peaks:
        offsets = seen.outputs.get(OFFSETS_HEAD)
        if offsets is None:
            return refine_integral(seen.outputs[self.confidence.name], peaks)
        return refine_offsets(offsets.reshape(*offsets.shape[:3], -1, 2), peaks)

    def _padded(self, peaks: Peaks, batch: int, places: int) -> PaddedPeaks:
        return pad_peaks(peaks, batch, self.confidence.channels, places)

    def _to_frame(self, points_map: Array) -> Array:
        stride, scale = self.confidence.stride, self.spec.input_scale
        return map_to_frame(points_map, output_stride=stride, input_scale=scale).astype(np.float32)

    def _on_map(self, points_map: Array, head_name: str) -> Array:
        """Returns pixels of the confidence maps as pixels of another head's maps."""
        return points_map * np.float32(self.confidence.stride / self._head(head_name).stride)


def _with_nodes(points_IN2: Array) -> NDArray[np.bool_]:
    """Returns which instances (I,) have any node."""
    return np.asarray((~np.isnan(points_IN2[..., 0])).any(axis=1))


def _in_raster_order(peaks: Peaks) -> Peaks:
    """Returns the peaks of one frame, on whole map pixels, of each node row by row."""
    columns_Q, rows_Q = peaks.points_map_Q2.T
    return _select(peaks, np.lexsort((columns_Q, rows_Q, peaks.nodes_Q)))


def _select(peaks: Peaks, chosen_Q: NDArray[Any]) -> Peaks:
    return replace(
        peaks,
        frames_Q=peaks.frames_Q[chosen_Q],
        nodes_Q=peaks.nodes_Q[chosen_Q],
        points_map_Q2=peaks.points_map_Q2[chosen_Q],
        values_Q=peaks.values_Q[chosen_Q],
    )


def _nearest(maps_BhwK: Array, points_map_BNP2: Array) -> Array:
    """Returns (B, N, P, K): the maps at the pixels nearest to points; 0 where there is none."""
    height, width = maps_BhwK.shape[1:3]
    found_BNP1 = ~np.isnan(points_map_BNP2).any(axis=3, keepdims=True)
    pixels_BNP2 = np.rint(np.nan_to_num(points_map_BNP2)).astype(np.intp)
    columns = np.clip(pixels_BNP2[..., 0], 0, width - 1)
    rows = np.clip(pixels_BNP2[..., 1], 0, height - 1)
    values_BNPK = maps_BhwK[np.arange(len(maps_BhwK))[:, None, None], rows, columns]
    return np.where(found_BNP1, values_BNPK, 0)

"""Frames in, poses out, over any engine: the one way that live and batch work share.

Axis legend: B frames of a request, H height, W width, C channels, I instances.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.client import SharedFrames
from shoal_common.inference.deployment import Deployment
from shoal_common.inference.outputs import poses_of
from shoal_common.inference.priority import Priority
from shoal_common.inference.settings import InferenceSettings
from shoal_core.grouping import PartGrouping
from shoal_core.pose import FramePoses


@dataclass(frozen=True)
class Estimate:
    """The poses of some frames and what they cost."""

    poses: list[FramePoses]
    inference_ms: float
    """From the request to the engine until its answer, for all frames together."""
    grouping_ms: float
    """From the engine's answer to instances, for all frames together."""
    overflow_frame_count: int
    """Frames in which the model found more than it can return."""


class PoseEstimator:
    """Estimates poses with one deployment and one set of settings."""

    def __init__(
        self, *, deployment: Deployment, settings: InferenceSettings, priority: Priority
    ) -> None:
        self._deployment = deployment
        self._settings = settings
        self._priority = priority

    @property
    def batch_size(self) -> int:
        """Frames that a batch job should send at a time."""
        return self._settings.batch_size

    async def estimate(
        self,
        frames: NDArray[np.uint8] | SharedFrames,
        frame_indices: Sequence[int],
        *,
        centroids: Sequence[NDArray[np.float32]] | None = None,
    ) -> Estimate:
        """Returns the poses of frames [B, H, W, C], in their order.

        Args:
            frames: Pixels, inline or in a ring that the engine can read.
            frame_indices: Index of each frame, for the result.
            centroids: For each frame, where the animals are: [I, 2] in pixels. For
                centred-instance models that run alone.

        Raises:
            ShoalError: What the engine said; see `InferenceClient.infer`.
        """
        begun = time.perf_counter()
        inputs = self._inputs(frames, len(frame_indices), centroids)
        contract, outputs = await self._deployment.infer(inputs, priority=self._priority)
        answered = time.perf_counter()
        frame_size_px = frames.shape[1], frames.shape[2]
        arguments = (contract, outputs, frame_indices, frame_size_px, self._settings)
        if len(frame_indices) == 1:
            # A live frame: the way to a thread and back takes longer than the work.
            poses = poses_of(*arguments)
        else:
            poses = await asyncio.to_thread(poses_of, *arguments)
        return Estimate(
            poses=poses,
            inference_ms=(answered - begun) * 1000,
            grouping_ms=(time.perf_counter() - answered) * 1000,
            overflow_frame_count=int(np.count_nonzero(outputs["overflow"])),
        )

    def _inputs(
        self,
        frames: NDArray[np.uint8] | SharedFrames,
        frame_count: int,
        centroids: Sequence[NDArray[np.float32]] | None,
    ) -> dict[str, NDArray[Any] | SharedFrames]:
        inputs: dict[str, NDArray[Any] | SharedFrames] = {"images": frames}
        if self._settings.peak_threshold is not None:
            inputs["peak_threshold"] = np.full(
                (frame_count, 1), self._settings.peak_threshold, np.float32
            )
        crop_threshold = self._settings.crop_peak_threshold
        if crop_threshold not in (None, self._settings.peak_threshold):
            # The same threshold is what the engine takes anyway, and older chains know only one.
            inputs["crop_peak_threshold"] = np.full((frame_count, 1), crop_threshold, np.float32)
        if self._settings.max_instances is not None and self._settings.filters.drop_nothing:
            # With filters the graph returns all it can: what they drop must not cost a place.
            inputs["max_instances"] = np.full(
                (frame_count, 1), self._settings.max_instances, np.int32
            )
        n_points = self._settings.part_grouping.n_points
        if n_points != PartGrouping.n_points:
            samples_T = np.linspace(0, 1, n_points, dtype=np.float32)
            inputs["line_samples"] = np.tile(samples_T, (frame_count, 1))
        if centroids is not None:
            inputs["centroids"] = _padded(centroids)
        return inputs


def _padded(centroids: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns [B, I, 2], frames with fewer animals filled up with NaN."""
    most = max((len(rows) for rows in centroids), default=0) or 1
    padded = np.full((len(centroids), most, 2), np.nan, np.float32)
    for row, of_frame in enumerate(centroids):
        padded[row, : len(of_frame)] = of_frame
    return padded

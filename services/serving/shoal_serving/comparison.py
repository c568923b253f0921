"""Two versions on the same frames: what each finds, how far apart, and how fast.

Axis legend: I J instances, N nodes that both skeletons have, M matches.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.client import InferenceClient
from shoal_common.inference.tuning import ANY_PROCESSOR, Tuning
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses
from shoal_serving.agreement import match_instances
from shoal_serving.registry import Version
from shoal_serving.trial_runs import Frames, TrialRuns, check_frames
from shoal_serving.trials import Trials


@dataclass(frozen=True)
class Side:
    """What one of the versions does."""

    instance_count: int
    """Animals found in all frames."""
    lone_node_count: int
    """Nodes of matched animals that only this version finds."""
    frame_ms: float
    """Time per frame of a batch."""


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same frames."""

    nodes: tuple[str, ...]
    """Those that both skeletons have."""
    frame_count: int
    matched_count: int
    """Animals that both find."""
    distances_px: NDArray[np.float64]
    """Of every node that both find in a matched animal."""
    sides: tuple[Side, Side]


class Comparer:
    """Compares versions on the engine."""

    def __init__(self, *, client: InferenceClient, trials: Trials) -> None:
        self._client = client
        self._trials = trials

    async def compare(self, versions: tuple[Version, Version], frames_FHWC: Frames) -> Comparison:
        """Returns how two versions, tuned as they are, do on the same frames.

        Raises:
            InvalidArgument: SKELETONS_DIFFER when they have no node in common; FRAMES_INVALID.
            FailedPrecondition: CENTROIDS_NEEDED of a model that runs on given centroids.
            ShoalError: What the engine says.
        """
        nodes = _common_nodes(*versions)
        found, times_ms = [], []
        for version in versions:
            check_frames(version, frames_FHWC)
            runs = TrialRuns(self._client, version.contract, frames_FHWC)
            tuning = version.tuning or Tuning(ANY_PROCESSOR, {})
            async with self._trials.loaded(version, tuning, {}) as trial:
                poses = await runs.poses(trial)
                times_ms.append(await runs.frame_ms(trial))
            found.append([_only(poses, version, nodes) for poses in poses])
        comparison = await asyncio.to_thread(compared, nodes, *found)
        left, right = comparison.sides
        sides = replace(left, frame_ms=times_ms[0]), replace(right, frame_ms=times_ms[1])
        return replace(comparison, sides=sides)


def compared(
    nodes: tuple[str, ...], left: Sequence[FramePoses], right: Sequence[FramePoses]
) -> Comparison:
    """Returns how the poses of the same frames compare; nothing is known of the time."""
    distances: list[NDArray[np.float64]] = [np.empty(0)]
    matched_count, lone = 0, np.zeros(2, np.int64)
    for one, other in zip(left, right, strict=True):
        distances_IJN, rows_M, columns_M = match_instances(one, other)
        pairs_MN = distances_IJN[rows_M, columns_M]
        distances.append(pairs_MN[np.isfinite(pairs_MN)])
        matched_count += len(rows_M)
        has = [
            np.isfinite(poses.points_px_IN2[chosen]).all(axis=2)
            for poses, chosen in ((one, rows_M), (other, columns_M))
        ]
        lone += [(has[0] & ~has[1]).sum(), (has[1] & ~has[0]).sum()]
    counts = [sum(poses.instance_count for poses in side) for side in (left, right)]
    return Comparison(
        nodes=nodes,
        frame_count=len(left),
        matched_count=matched_count,
        distances_px=np.concatenate(distances),
        sides=(Side(counts[0], int(lone[0]), np.nan), Side(counts[1], int(lone[1]), np.nan)),
    )


def _common_nodes(left: Version, right: Version) -> tuple[str, ...]:
    others = set(right.contract.skeleton.nodes)
    nodes = tuple(node for node in left.contract.skeleton.nodes if node in others)
    if not nodes:
        raise InvalidArgument(
            "SKELETONS_DIFFER",
            f"{left.name} and {right.name} have no node of the same name; compare models of the "
            "same animal.",
        )
    return nodes


def _only(poses: FramePoses, version: Version, nodes: Sequence[str]) -> FramePoses:
    indices = [version.contract.skeleton.nodes.index(node) for node in nodes]
    return replace(
        poses,
        points_px_IN2=poses.points_px_IN2[:, indices],
        point_scores_IN=poses.point_scores_IN[:, indices],
    )

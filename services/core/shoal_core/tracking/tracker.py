"""The window tracker: links each frame's instances to the tracks of recent frames.

SLEAP, Nature Methods 2022, "Tracking": candidates from a window of recent frames, a similarity
of poses, an assignment. A tracker is a plain object fed with poses, in frame order; it sees no
pixels, so live sessions, batch jobs and retracking run the same code.

Axis legend: I instances of a frame, T remembered tracks, M matches, N nodes, 2 = (x, y).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, assert_never

import numpy as np
from numpy.typing import NDArray

from shoal_core.assignment import greedy_pairs, optimal_pairs
from shoal_core.errors import InvalidArgument
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.tracking.candidates import TrackMemory
from shoal_core.tracking.culling import best_instances
from shoal_core.tracking.similarity import (
    Similarity,
    centroid_similarities,
    centroids,
    pose_similarities,
)

_TIE_BREAK = 1e-3
"""Weight of the centroids' nearness in the assignment: it decides only where the similarity
says nothing, for example between boxes that do not overlap."""


@dataclass(frozen=True)
class WindowTracker:
    """Parameters of the window tracker.

    Raises:
        InvalidArgument: TRACKER_INVALID when a value is outside its range.
    """

    window: int = 5
    """Updates (tracked frames) for which a track, and a node of it, is remembered unseen."""
    similarity: Similarity = "euclidean"
    """How alike two poses are; see `tracking.similarity`."""
    assignment: Literal["hungarian", "greedy"] = "hungarian"
    """The best sum of similarities, or again and again the best pair."""
    min_similarity: float = 0.05
    """Similarity (0 to 1) below which an instance opens a new track rather than continue one.
    Not applied once `max_tracks` exist."""
    max_tracks: int | None = None
    """Most tracks ever; then lost tracks are never forgotten, and an instance takes the most
    similar free one, however far. None: no limit, and a lost track never comes back."""
    target_instance_count: int | None = None
    """Most instances kept per frame, best first; None: all."""

    def __post_init__(self) -> None:
        for name in ("window", "max_tracks", "target_instance_count"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgument(
                    "TRACKER_INVALID",
                    f"The tracker's {name} is {value}; give at least 1.",
                    field=name,
                    value=value,
                )
        if not 0 <= self.min_similarity <= 1:
            raise InvalidArgument(
                "TRACKER_INVALID",
                f"The tracker's min_similarity is {self.min_similarity}; give 0 to 1.",
                field="min_similarity",
                value=self.min_similarity,
            )

    @classmethod
    def for_animals(cls, count: int) -> Self:
        """Returns the tracker for a known number of animals: that many tracks, no more."""
        return cls(max_tracks=count, target_instance_count=count)


class Tracker:
    """Links poses into tracks; feed it frames in increasing order."""

    def __init__(self, config: WindowTracker) -> None:
        self.config = config
        self._memory: TrackMemory | None = None
        self._update_count = 0
        self._last_frame_index = -1
        self._track_count = 0

    @property
    def track_count(self) -> int:
        """Number of tracks opened so far; track indices are 0 to this, exclusive."""
        return self._track_count

    def update(self, frame: FramePoses) -> FramePoses:
        """Returns the frame's poses with `track_indices_I` and `tracking_scores_I`.

        A track appears at most once in a frame. New tracks get the next indices, best instance
        score first, and tracking score 0. With `max_tracks` reached, instances beyond the
        tracks keep NO_TRACK, as does an instance without a visible node. The order of instances
        stays; those beyond `target_instance_count` are left out.

        Raises:
            InvalidArgument: FRAME_OUT_OF_ORDER when the frame index does not increase.
            InvalidArgument: NODE_COUNT_CHANGED when poses have other nodes than before.
        """
        self._check(frame)
        if self.config.target_instance_count is not None:
            frame = best_instances(frame, self.config.target_instance_count)
        memory = self._memory or TrackMemory.empty(frame.points_px_IN2.shape[1])
        self._last_frame_index = frame.frame_index
        self._update_count += 1
        if self.config.max_tracks is None:
            memory = memory.without_lost(self._update_count, self.config.window)
        row_I, scores_I = self._match(frame, memory)
        new_M = self._instances_for_new_tracks(frame, row_I)
        if len(new_M):
            row_I[new_M] = len(memory) + np.arange(len(new_M))
            indices_M = self._track_count + np.arange(len(new_M), dtype=np.int32)
            memory = memory.with_new(indices_M)
            self._track_count += len(new_M)
        linked_M = np.flatnonzero(row_I >= 0)
        memory = memory.seen(row_I[linked_M], frame.points_px_IN2[linked_M], self._update_count)
        self._memory = memory
        tracks_I = np.full(frame.instance_count, NO_TRACK, np.int32)
        tracks_I[linked_M] = memory.indices_T[row_I[linked_M]]
        return replace(frame, track_indices_I=tracks_I, tracking_scores_I=scores_I)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns everything that `from_state` needs to go on, as arrays by name."""
        memory = self._memory or TrackMemory.empty(0)
        counters = (self._update_count, self._last_frame_index, self._track_count)
        arrays = {field.name: getattr(memory, field.name) for field in fields(memory)}
        return {**arrays, "counters": np.array(counters, np.int64)}

    @classmethod
    def from_state(cls, config: WindowTracker, state: Mapping[str, NDArray[Any]]) -> Self:
        """Returns a tracker that goes on exactly where `state` was taken.

        Raises:
            InvalidArgument: TRACKER_STATE_INVALID when arrays are missing, unknown or misshapen.
        """
        names = {field.name for field in fields(TrackMemory)}
        if set(state) != names | {"counters"} or state["counters"].shape != (3,):
            raise InvalidArgument(
                "TRACKER_STATE_INVALID",
                f"The tracker's state holds {sorted(state)}; give what Tracker.state returned.",
            )
        memory = TrackMemory(**{name: state[name] for name in names})
        rows_nodes = memory.points_px_TN2.shape[:2]
        per_row = (memory.indices_T, memory.seen_T, memory.sizes_px_T)
        if memory.node_seen_TN.shape != rows_nodes or any(len(a) != rows_nodes[0] for a in per_row):
            raise InvalidArgument(
                "TRACKER_STATE_INVALID", "The arrays of the tracker's state do not fit one another."
            )
        tracker = cls(config)
        counters = state["counters"].tolist()
        tracker._update_count, tracker._last_frame_index, tracker._track_count = counters
        tracker._memory = memory if len(memory) else None
        return tracker

    def _check(self, frame: FramePoses) -> None:
        if frame.frame_index <= self._last_frame_index:
            raise InvalidArgument(
                "FRAME_OUT_OF_ORDER",
                f"Frame {frame.frame_index} came after frame {self._last_frame_index}; "
                "send frames in increasing order, each once.",
                frame_index=frame.frame_index,
                last_frame_index=self._last_frame_index,
            )
        nodes = frame.points_px_IN2.shape[1]
        if self._memory is not None and self._memory.points_px_TN2.shape[1] != nodes:
            raise InvalidArgument(
                "NODE_COUNT_CHANGED",
                f"Frame {frame.frame_index} has {nodes} nodes, earlier frames had "
                f"{self._memory.points_px_TN2.shape[1]}; use one skeleton per tracker.",
                frame_index=frame.frame_index,
            )

    def _match(
        self, frame: FramePoses, memory: TrackMemory
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Row of the memory that each instance continues (−1: none), and their similarity."""
        row_I = np.full(frame.instance_count, -1, np.intp)
        scores_I = np.zeros(frame.instance_count, np.float32)
        if not len(memory) or not frame.instance_count:
            return row_I, scores_I
        points_IN2, tracks_TN2 = frame.points_px_IN2, memory.candidates_px(self.config.window)
        similarity_IT = pose_similarities(
            self.config.similarity, points_IN2, tracks_TN2, memory.sizes_px_T
        )
        nearness_IT = centroid_similarities(
            centroids(points_IN2), centroids(tracks_TN2), memory.sizes_px_T
        )
        # Float64, so that even animals at opposite ends of a frame differ in nearness.
        gains_IT = similarity_IT + _TIE_BREAK * (nearness_IT.astype(np.float64) + 1e-9)
        if self._may_open_tracks:
            gains_IT[similarity_IT < self.config.min_similarity] = 0
        match self.config.assignment:
            case "hungarian":
                instance_M, row_M = optimal_pairs(gains_IT)
            case "greedy":
                instance_M, row_M = greedy_pairs(gains_IT)
            case _:
                assert_never(self.config.assignment)
        row_I[instance_M] = row_M
        scores_I[instance_M] = similarity_IT[instance_M, row_M]
        return row_I, scores_I

    @property
    def _may_open_tracks(self) -> bool:
        return self.config.max_tracks is None or self._track_count < self.config.max_tracks

    def _instances_for_new_tracks(
        self, frame: FramePoses, row_I: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """The unmatched instances that open tracks, best score first."""
        if not self._may_open_tracks or (row_I >= 0).all():
            return np.zeros(0, np.intp)
        free_I = (row_I < 0) & ~np.isnan(frame.points_px_IN2[..., 0]).all(axis=1)
        free_M = np.flatnonzero(free_I)
        order_M = np.argsort(-frame.instance_scores_I[free_M], kind="stable")
        room = None
        if self.config.max_tracks is not None:
            room = self.config.max_tracks - self._track_count
        return free_M[order_M][:room]

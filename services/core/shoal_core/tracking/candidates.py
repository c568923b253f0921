"""What a tracker remembers: the latest pose of each track that a new instance may continue.

A candidate is a track's last known pose, node by node: a node that was missing when the track
was last seen is taken from the update in which it was seen, within the window. On synthetic
worlds this switches fewer identities than the best of all poses of the window, and far fewer
than their mean: old poses point to where other animals are now.

Axis legend: T remembered tracks, M instances matched to tracks, N nodes, 2 = (x, y). Frame
pixels. Time is counted in updates, so that tracking every tenth frame keeps its window.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_SMALLEST_PX = 16.0
"""Least size of an animal, for skeletons of one node and poses of one visible node."""
_SHRINK = 0.98
"""Per update; a partly hidden animal does not become small at once."""


@dataclass(frozen=True, eq=False)
class TrackMemory:
    """One row per remembered track; memory grows with the tracks, not with the video."""

    indices_T: NDArray[np.int32]
    """Track index of each row."""
    points_px_TN2: NDArray[np.float32]
    """Where each node was last seen; NaN if never."""
    node_seen_TN: NDArray[np.int64]
    """Update in which each node was last seen; -1 if never."""
    seen_T: NDArray[np.int64]
    """Update in which the track was last seen."""
    sizes_px_T: NDArray[np.float32]
    """Diagonal of the pose's bounding box, the largest of late."""

    @classmethod
    def empty(cls, node_count: int) -> Self:
        """Returns a memory without tracks."""
        return cls(
            indices_T=np.zeros(0, np.int32),
            points_px_TN2=np.zeros((0, node_count, 2), np.float32),
            node_seen_TN=np.zeros((0, node_count), np.int64),
            seen_T=np.zeros(0, np.int64),
            sizes_px_T=np.zeros(0, np.float32),
        )

    def __len__(self) -> int:
        return len(self.indices_T)

    def candidates_px(self, window: int) -> NDArray[np.float32]:
        """Returns (T, N, 2) poses without the nodes last seen `window` updates before the rest."""
        stale_TN = self.seen_T[:, None] - self.node_seen_TN >= window
        if not stale_TN.any():
            return self.points_px_TN2
        return np.where(stale_TN[..., None], np.float32(np.nan), self.points_px_TN2)

    def without_lost(self, update: int, window: int) -> Self:
        """Returns the memory of the tracks seen in the last `window` updates."""
        kept_T = update - self.seen_T <= window
        if kept_T.all():
            return self
        return type(self)(
            self.indices_T[kept_T],
            self.points_px_TN2[kept_T],
            self.node_seen_TN[kept_T],
            self.seen_T[kept_T],
            self.sizes_px_T[kept_T],
        )

    def with_new(self, indices_M: NDArray[np.int32]) -> Self:
        """Returns the memory with rows for new tracks, not yet seen anywhere."""
        new, nodes = len(indices_M), self.points_px_TN2.shape[1]
        return type(self)(
            np.concatenate((self.indices_T, indices_M)),
            np.concatenate((self.points_px_TN2, np.full((new, nodes, 2), np.nan, np.float32))),
            np.concatenate((self.node_seen_TN, np.full((new, nodes), -1, np.int64))),
            np.concatenate((self.seen_T, np.full(new, -1, np.int64))),
            np.concatenate((self.sizes_px_T, np.zeros(new, np.float32))),
        )

    def seen(
        self, row_M: NDArray[np.intp], points_px_MN2: NDArray[np.float32], update: int
    ) -> Self:
        """Returns the memory after rows `row_M` were seen as these poses."""
        visible_MN = ~np.isnan(points_px_MN2[..., 0])
        points_TN2 = self.points_px_TN2.copy()
        node_seen_TN = self.node_seen_TN.copy()
        seen_T = self.seen_T.copy()
        sizes_T = self.sizes_px_T * np.float32(_SHRINK)
        points_TN2[row_M] = np.where(visible_MN[..., None], points_px_MN2, points_TN2[row_M])
        node_seen_TN[row_M] = np.where(visible_MN, update, node_seen_TN[row_M])
        seen_T[row_M] = update
        span_M2 = np.fmax.reduce(points_px_MN2, axis=1) - np.fmin.reduce(points_px_MN2, axis=1)
        diagonal_M = np.maximum(np.hypot(span_M2[:, 0], span_M2[:, 1]), np.float32(_SMALLEST_PX))
        sizes_T[row_M] = np.maximum(sizes_T[row_M], diagonal_M)
        return type(self)(self.indices_T, points_TN2, node_seen_TN, seen_T, sizes_T)

"""Poses of all animals in one frame, as arrays.

Axis legend: I instances, N nodes, 2 = (x, y). Coordinates are pixels of the
full-resolution frame; the centre of the top-left pixel is (0, 0); a missing node is
(NaN, NaN) with score 0.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

NO_TRACK = -1


@dataclass(frozen=True, eq=False)
class FramePoses:
    """What was found in one frame; instances may be empty (I = 0)."""

    frame_index: int
    points_px_IN2: NDArray[np.float32]
    point_scores_IN: NDArray[np.float32]
    instance_scores_I: NDArray[np.float32]
    track_indices_I: NDArray[np.int32]
    """Index into the track names that travel beside the poses; NO_TRACK if unlinked."""
    tracking_scores_I: NDArray[np.float32]
    """Similarity (tracker) or class probability (ID models) behind the track; 0 if none."""

    @classmethod
    def untracked(
        cls,
        frame_index: int,
        points_px_IN2: NDArray[np.float32],
        point_scores_IN: NDArray[np.float32],
        instance_scores_I: NDArray[np.float32],
    ) -> Self:
        """Returns poses that no tracker has seen yet."""
        instance_count = len(points_px_IN2)
        return cls(
            frame_index=frame_index,
            points_px_IN2=points_px_IN2,
            point_scores_IN=point_scores_IN,
            instance_scores_I=instance_scores_I,
            track_indices_I=np.full(instance_count, NO_TRACK, np.int32),
            tracking_scores_I=np.zeros(instance_count, np.float32),
        )

    @property
    def instance_count(self) -> int:
        """Number of instances I."""
        return len(self.points_px_IN2)

    def select(self, keep_I: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Returns the poses of the kept instances, by mask or by order of indices."""
        return type(self)(
            frame_index=self.frame_index,
            points_px_IN2=self.points_px_IN2[keep_I],
            point_scores_IN=self.point_scores_IN[keep_I],
            instance_scores_I=self.instance_scores_I[keep_I],
            track_indices_I=self.track_indices_I[keep_I],
            tracking_scores_I=self.tracking_scores_I[keep_I],
        )

"""Poses of many frames in columns, as they travel and as they are stored.

Axis legend: F frames, M instances of all the frames together, N nodes, 2 = (x, y).
Coordinates are pixels of the full-resolution frame; the centre of the top-left pixel is
(0, 0); a missing node is (NaN, NaN) with score 0.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument


@dataclass(frozen=True)
class ColumnType:
    """What one column holds."""

    name: str
    dtype: np.dtype[Any]
    per_instance: bool
    """One row an instance; otherwise one row a frame."""

    def row_shape(self, node_count: int) -> tuple[int, ...]:
        """Returns the shape of one row."""
        return {"points_px": (node_count, 2), "point_scores": (node_count,)}.get(self.name, ())


COLUMN_TYPES = (
    ColumnType("frame_indices", np.dtype("<i8"), False),
    ColumnType("instance_counts", np.dtype("<i4"), False),
    ColumnType("points_px", np.dtype("<f4"), True),
    ColumnType("point_scores", np.dtype("<f4"), True),
    ColumnType("instance_scores", np.dtype("<f4"), True),
    ColumnType("track_indices", np.dtype("<i4"), True),
    ColumnType("tracking_scores", np.dtype("<f4"), True),
    ColumnType("is_user", np.dtype("<u1"), True),
)
"""In the order of the fields of `PoseColumns`."""


@dataclass(frozen=True, eq=False)
class PoseColumns:
    """Some frames; instances lie in the order of the frames."""

    frame_indices_F: NDArray[np.int64]
    """Strictly increasing."""
    instance_counts_F: NDArray[np.int32]
    points_px_MN2: NDArray[np.float32]
    point_scores_MN: NDArray[np.float32]
    instance_scores_M: NDArray[np.float32]
    track_indices_M: NDArray[np.int32]
    """-1 if the instance belongs to no track."""
    tracking_scores_M: NDArray[np.float32]
    is_user_M: NDArray[np.uint8]
    """1 where a person made the instance, 0 where a model did."""

    @property
    def frame_count(self) -> int:
        """Number of frames F."""
        return len(self.frame_indices_F)

    @property
    def instance_count(self) -> int:
        """Number of instances M."""
        return len(self.instance_scores_M)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Returns the columns in the order of `COLUMN_TYPES`."""
        return tuple(getattr(self, column.name) for column in fields(self))

    def select(self, frames_F: NDArray[np.bool_]) -> Self:
        """Returns the frames of the mask."""
        rows_M = np.repeat(frames_F, self.instance_counts_F)
        return type(self)(
            *(
                array[rows_M if column.per_instance else frames_F]
                for column, array in zip(COLUMN_TYPES, self.arrays(), strict=True)
            )
        )

    def check(self, node_count: int) -> None:
        """Checks that the columns fit together and to a skeleton of `node_count` nodes.

        Raises:
            InvalidArgument: POSES_INVALID when they do not.
        """
        frame_count, instance_count = self.frame_indices_F.size, self.instance_scores_M.size
        for column, array in zip(COLUMN_TYPES, self.arrays(), strict=True):
            rows = instance_count if column.per_instance else frame_count
            expected = (rows, *column.row_shape(node_count))
            if array.shape != expected or array.dtype != column.dtype:
                raise invalid(
                    f"{column.name} is {array.dtype.name} {array.shape}; expected "
                    f"{column.dtype.name} {expected} for a skeleton of {node_count} nodes"
                )
        if (self.instance_counts_F < 0).any():
            raise invalid("instance_counts holds a negative number")
        if int(self.instance_counts_F.sum(dtype=np.int64)) != instance_count:
            raise invalid(f"instance_counts do not add up to the {instance_count} instances sent")
        if (np.diff(self.frame_indices_F) <= 0).any():
            raise invalid("frame_indices do not increase")
        if (self.track_indices_M < -1).any():
            raise invalid("track_indices holds a number below -1")


def invalid(complaint: str, **metadata: object) -> InvalidArgument:
    """Returns the error of poses that cannot be stored."""
    return InvalidArgument("POSES_INVALID", f"The poses cannot be stored: {complaint}.", **metadata)

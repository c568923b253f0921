"""The four tables of a SLEAP file ↔ columns of poses.

`frames` lists the instances of each frame, `instances` the points of each instance; the points
of people's instances lie in `points`, those of predictions (with scores) in `pred_points`.
Field names differ between versions, so fields are told by their position where they are read.

Axis legend: F frames, M instances of all the frames together, N nodes, 2 = (x, y).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_labels.columns import PoseColumns

TABLES = ("frames", "instances", "points", "pred_points")

_CHUNK_ROW_COUNT = 16_384

_USER, _PREDICTED = 0, 1
# Positions of the fields.
_FRAME_VIDEO, _FRAME_INDEX, _FRAME_FIRST, _FRAME_END = 1, 2, 3, 4
_TYPE, _SKELETON, _TRACK, _SCORE, _POINT_FIRST, _POINT_END, _TRACKING_SCORE = 1, 3, 4, 6, 7, 8, 9
_X, _Y, _VISIBLE, _POINT_SCORE = 0, 1, 2, 4


@dataclass(frozen=True)
class FrameTable:
    """The frames of one video: row i has instances `first_F[i]` ≤ id < `end_F[i]`."""

    frame_indices_F: NDArray[np.int64]
    """Not decreasing; a frame that the file lists twice follows itself."""
    first_F: NDArray[np.int64]
    end_F: NDArray[np.int64]

    def __getitem__(self, rows: slice) -> "FrameTable":
        """Returns some rows."""
        return FrameTable(self.frame_indices_F[rows], self.first_F[rows], self.end_F[rows])

    def parts(self, frame_count: int) -> list["FrameTable"]:
        """Returns the table in parts of about `frame_count` rows; no frame is split."""
        starts = [0]
        while starts[-1] + frame_count < len(self.frame_indices_F):
            frame = self.frame_indices_F[starts[-1] + frame_count]
            start = int(np.searchsorted(self.frame_indices_F, frame))
            if start == starts[-1]:
                start = int(np.searchsorted(self.frame_indices_F, frame, side="right"))
            starts.append(start)
        return [self[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def video_ids(frames: Any) -> NDArray[np.int64]:
    """Returns the video id of every row of `frames`."""
    return _field(frames, _FRAME_VIDEO).astype(np.int64)


def frames_of_video(frames: Any, video_id: int) -> FrameTable:
    """Returns one video's rows of `frames`, by frame."""
    mine = frames[_field(frames, _FRAME_VIDEO) == video_id]
    mine = mine[np.argsort(_field(mine, _FRAME_INDEX), kind="stable")]
    return FrameTable(
        *(_field(mine, p).astype(np.int64) for p in (_FRAME_INDEX, _FRAME_FIRST, _FRAME_END))
    )


class TableReader:
    """Turns rows of an open SLEAP file into columns."""

    def __init__(
        self, tables: dict[str, Any], *, node_count: int, skeleton_id: int, format_id: float
    ) -> None:
        """Remembers where the rows are.

        Args:
            tables: `instances`, `points` and `pred_points`: anything that slices into
                structured arrays.
            node_count: N.
            skeleton_id: Index of the skeleton that every instance must have.
            format_id: The file's; before 1.1 the pixel's corner was (0, 0).
        """
        self._tables = tables
        self.node_count = node_count
        self._skeleton_id = skeleton_id
        self._corner_px = np.float32(0.5 if format_id < 1.1 else 0.0)

    def columns(self, frames: FrameTable) -> PoseColumns:
        """Returns the poses of some frames; a frame listed twice becomes one.

        Raises:
            InvalidArgument: LABELS_UNREADABLE when instances have other nodes.
        """
        counts = frames.end_F - frames.first_F
        rows_M = np.repeat(frames.end_F - np.cumsum(counts), counts) + np.arange(counts.sum())
        instances_M = _take(self._tables["instances"], rows_M)
        points_px_MN2, point_scores_MN, is_user_M = self._points(instances_M)
        unique_F, starts_F = np.unique(frames.frame_indices_F, return_index=True)
        has_tracking_scores = len(instances_M.dtype.names or ()) > _TRACKING_SCORE
        scores_M = _without_nan(_field(instances_M, _SCORE))
        tracking_scores_M = (
            _without_nan(_field(instances_M, _TRACKING_SCORE))
            if has_tracking_scores
            else np.zeros(len(rows_M), np.float32)
        )
        return PoseColumns(
            frame_indices_F=unique_F,
            instance_counts_F=(np.add.reduceat(counts, starts_F) if len(counts) else counts).astype(
                np.int32
            ),
            points_px_MN2=points_px_MN2,
            point_scores_MN=point_scores_MN,
            # A person's labels are certain; the file has no scores for them.
            instance_scores_M=np.where(is_user_M, np.float32(1), scores_M),
            track_indices_M=np.maximum(_field(instances_M, _TRACK), -1).astype(np.int32),
            tracking_scores_M=tracking_scores_M,
            is_user_M=is_user_M,
        )

    def _points(
        self, instances_M: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
        first_M = _field(instances_M, _POINT_FIRST).astype(np.int64)
        end_M = _field(instances_M, _POINT_END).astype(np.int64)
        types_M = _field(instances_M, _TYPE)
        skeletons_M = _field(instances_M, _SKELETON)
        if (end_M - first_M != self.node_count).any() or (skeletons_M != self._skeleton_id).any():
            raise InvalidArgument(
                "LABELS_UNREADABLE",
                f"it has instances that do not have the {self.node_count} nodes of its skeleton",
            )
        points_px_MN2 = np.full((len(first_M), self.node_count, 2), np.nan, np.float32)
        point_scores_MN = np.zeros((len(first_M), self.node_count), np.float32)
        for kind, table in ((_USER, "points"), (_PREDICTED, "pred_points")):
            mine_M = types_M == kind
            rows = first_M[mine_M][:, None] + np.arange(self.node_count)
            points = _take(self._tables[table], rows)
            xy = np.stack([_field(points, _X), _field(points, _Y)], axis=-1) - self._corner_px
            missing = ~_field(points, _VISIBLE).astype(bool) | np.isnan(xy).any(axis=-1)
            scores = (
                np.ones(rows.shape, np.float32) if kind == _USER else _field(points, _POINT_SCORE)
            )
            points_px_MN2[mine_M] = np.where(missing[..., None], np.nan, xy)
            point_scores_MN[mine_M] = np.where(missing, 0, _without_nan(scores))
        return points_px_MN2, point_scores_MN, (types_M == _USER).astype(np.uint8)


class TableWriter:
    """Appends frames to the empty tables of a SLEAP file; memory does not grow with them."""

    def __init__(self, hdf5: Any, *, node_count: int, instance_count: int) -> None:
        """Replaces the file's empty tables by some that grow.

        Args:
            hdf5: The file, as sleap-io writes it for labels without frames.
            node_count: N.
            instance_count: About how many instances will come.
        """
        self.node_count = node_count
        self._tables = {}
        for name in TABLES:
            dtype = hdf5[name].dtype
            del hdf5[name]
            row_count = instance_count * (node_count if "points" in name else 1)
            chunks = (min(_CHUNK_ROW_COUNT, max(1, row_count)),)
            self._tables[name] = hdf5.create_dataset(
                name, shape=(0,), maxshape=(None,), chunks=chunks, dtype=dtype
            )

    @property
    def frame_count(self) -> int:
        """Frames written so far."""
        return len(self._tables["frames"])

    @property
    def instance_count(self) -> int:
        """Instances written so far."""
        return len(self._tables["instances"])

    def append(self, columns: PoseColumns, *, video_id: int) -> None:
        """Adds frames; those without instances are left out.

        Args:
            columns: Any number of frames; track indices are those of the file.
            video_id: Index of their video in the file.
        """
        columns = columns.select(columns.instance_counts_F > 0)
        first_instance = self.instance_count
        ends_F = first_instance + np.cumsum(columns.instance_counts_F, dtype=np.int64)
        first_frame = self.frame_count
        self._add(
            "frames",
            columns.frame_count,
            frame_id=first_frame + np.arange(columns.frame_count),
            video=video_id,
            frame_idx=columns.frame_indices_F,
            instance_id_start=ends_F - columns.instance_counts_F,
            instance_id_end=ends_F,
        )
        frames_M = first_frame + np.repeat(
            np.arange(columns.frame_count), columns.instance_counts_F
        )
        self._add_instances(columns, frames_M)

    def _add_instances(self, columns: PoseColumns, frames_M: NDArray[np.int64]) -> None:
        user_M = columns.is_user_M.astype(bool)
        first_points_M = np.where(
            user_M,
            len(self._tables["points"]) + (np.cumsum(user_M) - 1) * self.node_count,
            len(self._tables["pred_points"]) + (np.cumsum(~user_M) - 1) * self.node_count,
        )
        self._add(
            "instances",
            columns.instance_count,
            instance_id=self.instance_count + np.arange(columns.instance_count),
            instance_type=np.where(user_M, _USER, _PREDICTED),
            frame_id=frames_M,
            skeleton=0,
            track=columns.track_indices_M,
            from_predicted=-1,
            score=np.where(user_M, 0, columns.instance_scores_M),
            point_id_start=first_points_M,
            point_id_end=first_points_M + self.node_count,
            tracking_score=columns.tracking_scores_M,
        )
        self._add_points("points", columns.points_px_MN2[user_M])
        scores = columns.point_scores_MN[~user_M].reshape(-1)
        self._add_points("pred_points", columns.points_px_MN2[~user_M], score=scores)

    def _add_points(self, table: str, points_px_MN2: NDArray[np.float32], **more: Any) -> None:
        xy = points_px_MN2.reshape(-1, 2)
        visible = ~np.isnan(xy).any(axis=1)
        self._add(table, len(xy), x=xy[:, 0], y=xy[:, 1], visible=visible, complete=False, **more)

    def _add(self, table: str, count: int, **fields: Any) -> None:
        dataset = self._tables[table]
        rows = np.zeros(count, dataset.dtype)
        for name, values in fields.items():
            rows[name] = values
        start = len(dataset)
        dataset.resize(start + count, axis=0)
        dataset[start:] = rows


def _field(rows: Any, position: int) -> NDArray[Any]:
    values: NDArray[Any] = rows[rows.dtype.names[position]]
    return values


def _without_nan(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.where(np.isnan(values), 0, values).astype(np.float32)


def _take(table: Any, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Returns rows of a table in any order; the stretch that holds them is read at once."""
    if rows.size == 0:
        return np.zeros(rows.shape, table.dtype)
    first, end = int(rows.min()), int(rows.max()) + 1
    if first < 0 or end > len(table):
        raise InvalidArgument("LABELS_UNREADABLE", "its tables refer to rows that are not there")
    taken: NDArray[Any] = table[first:end][rows - first]
    return taken

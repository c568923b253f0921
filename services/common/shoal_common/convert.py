"""Protobuf ↔ domain types that several services share. Protobuf stops here."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.common.v1 import pose_pb2, tensor_pb2
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton

_DTYPES: dict[tensor_pb2.DataType.ValueType, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("<u1"),
    tensor_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
    tensor_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}
_DATA_TYPES = {dtype: data_type for data_type, dtype in _DTYPES.items()}


def tensor(array: NDArray[Any]) -> tensor_pb2.Tensor:
    """Returns the wire form of an array of uint8, int32, int64 or float32."""
    return tensor_pb2.Tensor(
        data_type=_DATA_TYPES[array.dtype.newbyteorder("<")],
        shape=array.shape,
        data=np.ascontiguousarray(array).tobytes(),
    )


def array(message: tensor_pb2.Tensor) -> NDArray[Any]:
    """Returns a read-only array over the message's bytes.

    Raises:
        InvalidArgument: TENSOR_INVALID when type, shape and bytes do not fit together.
    """
    dtype = _DTYPES.get(message.data_type)
    shape = tuple(message.shape)
    if dtype is None or min(shape, default=0) < 0:
        raise InvalidArgument(
            "TENSOR_INVALID",
            f"A tensor of type {message.data_type} and shape {shape} is not valid.",
        )
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if expected != len(message.data):
        raise InvalidArgument(
            "TENSOR_INVALID",
            f"A {dtype.name} tensor of shape {shape} needs {expected} bytes, got "
            f"{len(message.data)}.",
        )
    return np.frombuffer(message.data, dtype).reshape(shape)


def skeleton_message(skeleton: Skeleton) -> pose_pb2.Skeleton:
    """Returns the wire form of a skeleton."""
    return pose_pb2.Skeleton(
        name=skeleton.name,
        nodes=skeleton.nodes,
        edges=[pose_pb2.Edge(source=a, destination=b) for a, b in skeleton.edges],
        symmetries=[pose_pb2.Symmetry(left=a, right=b) for a, b in skeleton.symmetries],
    )


def skeleton(message: pose_pb2.Skeleton) -> Skeleton:
    """Returns the skeleton of a message.

    Raises:
        InvalidArgument: SKELETON_INVALID when it has no nodes or does not hold together.
    """
    if not message.nodes:
        raise InvalidArgument("SKELETON_INVALID", "The skeleton has no nodes.")
    return Skeleton(
        name=message.name,
        nodes=tuple(message.nodes),
        edges=tuple((edge.source, edge.destination) for edge in message.edges),
        symmetries=tuple((pair.left, pair.right) for pair in message.symmetries),
    )


def pose_batch(frames: Sequence[FramePoses], node_count: int) -> pose_pb2.PoseBatch:
    """Returns the frames in columns; `node_count` shapes a batch without instances."""
    return pose_pb2.PoseBatch(
        frame_indices=tensor(np.array([f.frame_index for f in frames], np.int64)),
        instance_counts=tensor(np.array([f.instance_count for f in frames], np.int32)),
        points_px=tensor(_stack([f.points_px_IN2 for f in frames], (node_count, 2))),
        point_scores=tensor(_stack([f.point_scores_IN for f in frames], (node_count,))),
        instance_scores=tensor(_stack([f.instance_scores_I for f in frames], ())),
        track_indices=tensor(_stack([f.track_indices_I for f in frames], (), np.int32)),
        tracking_scores=tensor(_stack([f.tracking_scores_I for f in frames], ())),
    )


def frame_poses(batch: pose_pb2.PoseBatch) -> Iterator[FramePoses]:
    """Yields the frames of a batch.

    Raises:
        InvalidArgument: POSES_INVALID when the columns do not fit together,
            TENSOR_INVALID when one of them is broken.
    """
    frame_indices = _column(batch, "frame_indices", np.int64)
    counts = _column(batch, "instance_counts", np.int32)
    columns = (
        _column(batch, "points_px", np.float32),
        _column(batch, "point_scores", np.float32),
        _column(batch, "instance_scores", np.float32),
        _column(batch, "track_indices", np.int32),
        _column(batch, "tracking_scores", np.float32),
    )
    _check_columns(frame_indices, counts, columns)
    stops = np.cumsum(counts)
    for frame_index, count, stop in zip(frame_indices, counts, stops, strict=True):
        points, point_scores, scores, tracks, tracking_scores = (
            column[stop - count : stop] for column in columns
        )
        yield FramePoses(
            frame_index=int(frame_index),
            points_px_IN2=points,
            point_scores_IN=point_scores,
            instance_scores_I=scores,
            track_indices_I=tracks,
            tracking_scores_I=tracking_scores,
        )


def _column(batch: pose_pb2.PoseBatch, name: str, dtype: type[np.generic]) -> NDArray[Any]:
    column = array(getattr(batch, name))
    if column.dtype != dtype:
        raise InvalidArgument(
            "POSES_INVALID",
            f"Column {name} of a pose batch must be {np.dtype(dtype).name}, not {column.dtype}.",
            column=name,
        )
    return column


def _check_columns(
    frame_indices: NDArray[Any], counts: NDArray[Any], columns: tuple[NDArray[Any], ...]
) -> None:
    points, point_scores = columns[0], columns[1]
    instance_count = int(counts.sum())
    fits = (
        frame_indices.ndim == 1
        and counts.shape == frame_indices.shape
        and (counts >= 0).all()
        and (np.diff(frame_indices) > 0).all()
        and points.ndim == 3
        and points.shape[2] == 2
        and point_scores.shape == points.shape[:2]
        and all(column.ndim == 1 for column in columns[2:])
        and all(len(column) == instance_count for column in columns)
    )
    if not fits:
        raise InvalidArgument(
            "POSES_INVALID",
            "The columns of a pose batch do not fit together; frames must increase and every "
            "column must have as many rows as there are instances.",
        )


def _stack(
    rows: Sequence[NDArray[Any]], shape: tuple[int, ...], dtype: type[np.generic] = np.float32
) -> NDArray[Any]:
    empty = np.empty((0, *shape), dtype)
    return np.concatenate([empty, *rows]).astype(dtype, copy=False)

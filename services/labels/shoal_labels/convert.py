"""shoal.labels.v1 ↔ the label store's own types."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from shoal.common.v1 import pose_pb2, video_pb2
from shoal.labels.v1 import labels_pb2 as pb
from shoal_common import convert, names
from shoal_core.errors import InvalidArgument
from shoal_labels.columns import COLUMN_TYPES, PoseColumns
from shoal_labels.label_sets import (
    LabelSet,
    LabelSetKey,
    Segment,
    SegmentTarget,
    Video,
)


def project(name: str) -> str:
    """Returns the project of `projects/{project}`.

    Raises:
        InvalidArgument: NAME_INVALID.
    """
    return names.parse(names.PROJECT, name)["project"]


def label_set_key(name: str) -> LabelSetKey:
    """Returns the key behind `projects/{project}/labelSets/{label_set}`.

    Raises:
        InvalidArgument: NAME_INVALID.
    """
    return LabelSetKey(**names.parse(names.LABEL_SET, name))


def label_set(message: pb.LabelSet, create_time_us: int) -> LabelSet:
    """Returns the label set of a message; output-only fields are ignored.

    Raises:
        InvalidArgument: NAME_INVALID, VIDEO_INVALID, SKELETON_INVALID or PROVENANCE_INVALID.
    """
    return LabelSet(
        key=label_set_key(message.name),
        video=_video(message.video),
        skeleton=convert.skeleton(message.skeleton),
        track_names=tuple(message.track_names),
        provenance=provenance(message.provenance_json),
        create_time_us=create_time_us,
    )


def label_set_message(label_set: LabelSet) -> pb.LabelSet:
    """Returns the wire form of a label set."""
    create_time = Timestamp()
    create_time.FromMicroseconds(label_set.create_time_us)
    video = label_set.video
    return pb.LabelSet(
        name=label_set.key.name,
        video=video_pb2.Video(
            uri=video.uri,
            frame_count=video.frame_count,
            height_px=video.height_px,
            width_px=video.width_px,
            channel_count=video.channel_count,
            frame_rate_hz=video.frame_rate_hz,
            content_hash=video.content_hash,
        ),
        skeleton=convert.skeleton_message(label_set.skeleton),
        track_names=label_set.track_names,
        provenance_json=json.dumps(label_set.provenance),
        create_time=create_time,
        frame_count=label_set.frame_count,
        instance_count=label_set.instance_count,
    )


def segment_message(segment: Segment) -> pb.Segment:
    """Returns the wire form of a segment."""
    return pb.Segment(
        name=segment.name,
        range=video_pb2.FrameRange(start=segment.start, stop=segment.stop),
        frame_count=segment.frame_count,
        instance_count=segment.instance_count,
        fencing_token=segment.fencing_token,
    )


def segment_target(request: pb.CommitSegmentRequest | None) -> SegmentTarget:
    """Returns the header of a stream's first message; None stands for an empty stream.

    Raises:
        InvalidArgument: HEADER_EXPECTED_FIRST or NAME_INVALID.
    """
    if request is None or request.WhichOneof("payload") != "header":
        raise InvalidArgument(
            "HEADER_EXPECTED_FIRST", "The first message must carry `header`, and only the first."
        )
    header = request.header
    return SegmentTarget(
        key=label_set_key(header.label_set),
        index=header.segment_index,
        start=header.range.start,
        stop=header.range.stop,
        fencing_token=header.fencing_token,
    )


def columns(request: pb.CommitSegmentRequest) -> PoseColumns:
    """Returns the poses of a later message; they are not checked yet.

    Raises:
        InvalidArgument: HEADER_EXPECTED_FIRST when it is another header, POSES_INVALID when a
            column is broken.
    """
    if request.WhichOneof("payload") != "poses":
        raise InvalidArgument(
            "HEADER_EXPECTED_FIRST", "Messages after the first must carry `poses`."
        )
    poses = request.poses
    try:
        arrays = [
            convert.array(getattr(poses, column.name))
            for column in COLUMN_TYPES
            if column.name != "is_user"
        ]
        if poses.HasField("is_user"):
            arrays.append(convert.array(poses.is_user))
        else:
            arrays.append(np.zeros(tuple(poses.instance_scores.shape), np.uint8))
    except InvalidArgument as error:
        raise InvalidArgument("POSES_INVALID", error.message, **error.metadata) from error
    return PoseColumns(*arrays)


def pose_batch(columns: PoseColumns) -> pose_pb2.PoseBatch:
    """Returns the wire form of columns."""
    return pose_pb2.PoseBatch(
        **{
            column.name: convert.tensor(array)
            for column, array in zip(COLUMN_TYPES, columns.arrays(), strict=True)
        }
    )


def frame_range(message: video_pb2.FrameRange) -> tuple[int, int | None]:
    """Returns start and stop of the frames wanted; a stop of None means the last one.

    Raises:
        InvalidArgument: RANGE_INVALID.
    """
    if message.start < 0 or 0 != message.stop <= message.start:
        raise InvalidArgument(
            "RANGE_INVALID",
            f"The range {message.start} to {message.stop} holds no frames; give 0 <= start < stop, "
            "or stop = 0 for all that follow.",
            start=message.start,
            stop=message.stop,
        )
    return message.start, message.stop or None


def _video(message: video_pb2.Video) -> Video:
    if not message.uri:
        raise InvalidArgument("VIDEO_INVALID", "video.uri is empty; name the labels' video.")
    return Video(
        uri=message.uri,
        frame_count=message.frame_count,
        height_px=message.height_px,
        width_px=message.width_px,
        channel_count=message.channel_count,
        frame_rate_hz=message.frame_rate_hz,
        content_hash=message.content_hash,
    )


def provenance(text: str) -> Mapping[str, Any]:
    """Returns the JSON object of a text; an empty text is an empty object.

    Raises:
        InvalidArgument: PROVENANCE_INVALID.
    """
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise InvalidArgument(
            "PROVENANCE_INVALID", f"provenance_json is not JSON: {error}."
        ) from error
    if not isinstance(value, dict):
        raise InvalidArgument(
            "PROVENANCE_INVALID", "provenance_json is not a JSON object; give {...}."
        )
    return value

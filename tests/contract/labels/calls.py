"""Messages and calls that the tests of the label store share."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import sleap_io

from shoal.common.v1 import pose_pb2, video_pb2
from shoal.labels.v1 import labels_pb2 as pb
from shoal.labels.v1.labels_pb2_grpc import LabelsServiceStub
from shoal_common.convert import tensor
from shoal_common.status import from_rpc_error
from shoal_core.errors import ShoalError

NAME = "projects/lab/labelSets/flies"
PARENT = "projects/lab"
NODES = ["head", "thorax", "tail"]


@dataclass(frozen=True)
class Ensemble:
    """A running label store and the folders around it."""

    stub: LabelsServiceStub
    home: Path
    files: Path
    """The allowed root."""


def label_set(name: str = NAME, **changes: Any) -> pb.LabelSet:
    fields: dict[str, Any] = {
        "name": name,
        "video": video_pb2.Video(uri=f"/videos/{name[-3:]}.mp4", frame_count=100),
        "skeleton": pose_pb2.Skeleton(nodes=NODES, edges=[pose_pb2.Edge(source=0, destination=1)]),
        "track_names": ["female", "male"],
        "provenance_json": '{"model": "m1"}',
    }
    return pb.LabelSet(**{**fields, **changes})


def poses(frames: Iterable[int], node_count: int = 3, **changes: Any) -> pose_pb2.PoseBatch:
    indices = np.array(list(frames), np.int64)
    total = 2 * len(indices)
    rng = np.random.default_rng(len(indices))
    columns: dict[str, Any] = {
        "frame_indices": tensor(indices),
        "instance_counts": tensor(np.full(len(indices), 2, np.int32)),
        "points_px": tensor(rng.random((total, node_count, 2), dtype=np.float32)),
        "point_scores": tensor(rng.random((total, node_count), dtype=np.float32)),
        "instance_scores": tensor(rng.random(total, dtype=np.float32)),
        "track_indices": tensor(np.tile(np.array([0, 1], np.int32), len(indices))),
        "tracking_scores": tensor(rng.random(total, dtype=np.float32)),
    }
    return pose_pb2.PoseBatch(**{**columns, **changes})


def header(
    name: str = NAME, index: int = 0, token: int = 1, **span: int
) -> pb.CommitSegmentRequest:
    return pb.CommitSegmentRequest(
        header=pb.SegmentHeader(
            label_set=name,
            segment_index=index,
            range=video_pb2.FrameRange(**{"start": 0, "stop": 100, **span}),
            fencing_token=token,
        )
    )


def some(*frames: int, **changes: Any) -> pb.CommitSegmentRequest:
    return pb.CommitSegmentRequest(poses=poses(frames, **changes))


async def create(labels: Ensemble, message: pb.LabelSet) -> pb.LabelSet:
    return (await labels.stub.CreateLabelSet(pb.CreateLabelSetRequest(label_set=message))).label_set


async def commit(labels: Ensemble, *messages: pb.CommitSegmentRequest) -> pb.Segment:
    return (await labels.stub.CommitSegment(iter(messages))).segment


async def stream(labels: Ensemble, name: str = NAME, **span: int) -> list[pose_pb2.PoseBatch]:
    span_message = video_pb2.FrameRange(**span) if span else None
    request = pb.StreamPosesRequest(label_set=name, range=span_message)
    return [response.poses async for response in labels.stub.StreamPoses(request)]


async def error_of(call: Any) -> ShoalError:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return from_rpc_error(caught.value, "labels")


def real_file(labels: Ensemble) -> Path:
    """Writes a SLEAP file with one predicted instance in one frame of a video elsewhere."""
    path = labels.files / "real.slp"
    skeleton = sleap_io.Skeleton(["a"])
    video = sleap_io.Video(filename="/nowhere/video.mp4", open_backend=False)
    instance = sleap_io.PredictedInstance.from_numpy(np.array([[1.0, 2.0]]), skeleton=skeleton)
    frame = sleap_io.LabeledFrame(video=video, frame_idx=4, instances=[instance])
    sleap_io.save_slp(sleap_io.Labels([frame]), str(path), verbose=False)
    return path

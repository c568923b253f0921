"""Live sessions over real recordings, from a client's side."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from shoal.common.v1 import frame_pb2, parameters_pb2
from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_common import convert
from shoal_media.frames import encode_png
from shoal_media.readers import open_video

VIDEOS = {
    "pair-bottomup": "pair/centered_pair_small.mp4",
    "pair-topdown": "pair/centered_pair_small.mp4",
    "robot": "robot/small_robot.mp4",
    "flies-id": "flies_clip/clip.mp4",
}


@dataclass(frozen=True)
class Plan:
    """A session: which model, which frames of its recording, sent in which way."""

    model: str
    frames: range
    way: str
    """inline, png or ref."""
    is_tracked: bool
    latest_wins: pb.LatestWins | None = None

    @property
    def config(self) -> pb.TrackFramesRequest:
        """The session's first message."""
        window = parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters())
        config = pb.SessionConfig(
            model=f"models/{self.model}",
            tracker=window if self.is_tracked else None,
            latest_wins=self.latest_wins,
        )
        return pb.TrackFramesRequest(config=config)


class Recordings:
    """The frames of sessions, ready to be sent."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def path(self, model: str) -> Path:
        """Returns the recording that belongs to a model."""
        return self._data / VIDEOS[model]

    def requests(self, plan: Plan) -> list[pb.TrackFramesRequest]:
        """Returns the items of a session."""
        path = self.path(plan.model)
        with open_video(path) as reader:
            pixels = list(reader.frames(plan.frames.start, plan.frames.stop))
        payload = _PAYLOADS[plan.way]
        return [
            pb.TrackFramesRequest(
                frame=pb.FrameItem(frame_index=index, frame=payload(path, index, frame))
            )
            for index, frame in zip(plan.frames, pixels, strict=True)
        ]


async def run_session(
    channel: grpc.aio.Channel,
    plan: Plan,
    items: list[pb.TrackFramesRequest],
    *,
    timeout_s: float | None = None,
) -> list[pb.TrackFramesResponse]:
    """Returns the answers of one session to all items.

    Raises:
        grpc.RpcError: What the session ended with.
    """

    async def requests() -> AsyncIterator[pb.TrackFramesRequest]:
        yield plan.config
        for item in items:
            yield item

    stub = pb_grpc.TrackingServiceStub(channel)
    return [answer async for answer in stub.TrackFrames(requests(), timeout=timeout_s)]


def digest(answers: list[pb.TrackFramesResponse]) -> str:
    """Returns a hash of everything that a session says about poses, bit for bit.

    Raises:
        AssertionError: An answer holds no poses.
    """
    hashed = hashlib.sha256()
    for answer in answers:
        assert answer.WhichOneof("result") == "poses", answer
        hashed.update(answer.poses.SerializeToString(deterministic=True))
        hashed.update("\0".join(answer.track_names).encode())
    return hashed.hexdigest()


def instance_count(answers: list[pb.TrackFramesResponse]) -> int:
    """Returns how many animals a session has found, in all frames together."""
    return sum(
        frame.instance_count for answer in answers for frame in convert.frame_poses(answer.poses)
    )


def _inline(path: Path, index: int, frame_HWC: NDArray[np.uint8]) -> frame_pb2.FramePayload:
    return frame_pb2.FramePayload(inline=convert.tensor(frame_HWC))


def _png(path: Path, index: int, frame_HWC: NDArray[np.uint8]) -> frame_pb2.FramePayload:
    data = encode_png(frame_HWC)
    image = frame_pb2.EncodedImage(format=frame_pb2.IMAGE_FORMAT_PNG, data=data)
    return frame_pb2.FramePayload(encoded=image)


def _ref(path: Path, index: int, frame_HWC: NDArray[np.uint8]) -> frame_pb2.FramePayload:
    reference = frame_pb2.VideoFrameRef(video_uri=str(path), frame_index=index)
    return frame_pb2.FramePayload(ref=reference)


_PAYLOADS: dict[str, Callable[[Path, int, NDArray[np.uint8]], frame_pb2.FramePayload]] = {
    "inline": _inline,
    "png": _png,
    "ref": _ref,
}

"""A live session beside the fault; a client begins it anew when it breaks."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np

from shoal.common.v1 import frame_pb2, parameters_pb2
from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_common import convert
from shoal_common.channel import open_sync_channel
from shoal_media.readers import open_video

LIVE_FRAMES = range(24)

_SESSION_SECONDS = 60.0
_RETRY_SECONDS = 0.2


class LiveClient:
    """Sends the first frames of a video to tracking, as a camera would."""

    def __init__(self, video: Path, model: str) -> None:
        with open_video(video) as reader:
            self._frames = list(reader.frames(LIVE_FRAMES.start, LIVE_FRAMES.stop))
        self._model = model

    def run(self, target: str, give_up_s: float) -> str:
        """Returns a digest of the poses of the first session that is not disturbed.

        Raises:
            TimeoutError: None was.
        """
        deadline = time.monotonic() + give_up_s
        with open_sync_channel(target) as channel:
            while (digest := self._session(channel)) is None:
                if time.monotonic() > deadline:
                    raise TimeoutError("no live session came to its end")
                time.sleep(_RETRY_SECONDS)
        return digest

    def _session(self, channel: grpc.Channel) -> str | None:
        digest = hashlib.sha256()
        answered = 0
        stub = pb_grpc.TrackingServiceStub(channel)
        try:
            for answer in stub.TrackFrames(self._requests(), timeout=_SESSION_SECONDS):
                if answer.WhichOneof("result") == "error":
                    return None
                assert answer.frame_index == LIVE_FRAMES[answered]
                digest.update(answer.poses.SerializeToString(deterministic=True))
                answered += 1
        except grpc.RpcError:
            return None
        assert answered == len(LIVE_FRAMES), f"{answered} answers"
        return digest.hexdigest()

    def _requests(self) -> Iterator[pb.TrackFramesRequest]:
        window = parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters())
        yield pb.TrackFramesRequest(config=pb.SessionConfig(model=self._model, tracker=window))
        for index, frame_HWC in zip(LIVE_FRAMES, self._frames, strict=True):
            payload = frame_pb2.FramePayload(inline=convert.tensor(np.asarray(frame_HWC)))
            item = pb.FrameItem(frame_index=index, frame=payload)
            yield pb.TrackFramesRequest(frame=item)

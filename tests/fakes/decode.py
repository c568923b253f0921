"""Decode as the orchestrator sees it: probes videos that exist only here."""

import asyncio

from shoal.common.v1 import video_pb2
from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_core.errors import NotFound, ShoalError


class FakeDecode(decode_pb2_grpc.DecodeServiceServicer):
    """Knows the videos it was given; `fault` replaces every answer, `hangs` holds it back."""

    def __init__(self) -> None:
        self.fault: ShoalError | None = None
        self.hangs = False
        self._videos: dict[str, decode_pb2.ProbeVideoResponse] = {}

    def add_video(
        self,
        uri: str,
        *,
        frame_count: int = 100,
        content_hash: str = "c0ffee",
        keyframes: tuple[int, ...] = (0,),
    ) -> None:
        """Lets a video be found."""
        video = video_pb2.Video(
            uri=uri,
            frame_count=frame_count,
            height_px=384,
            width_px=384,
            channel_count=1,
            frame_rate_hz=30.0,
            content_hash=content_hash,
        )
        self._videos[uri] = decode_pb2.ProbeVideoResponse(video=video, keyframe_indices=keyframes)

    async def ProbeVideo(self, request, context):
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        if request.uri not in self._videos:
            raise NotFound("VIDEO_NOT_FOUND", f"There is no video {request.uri}.", uri=request.uri)
        return self._videos[request.uri]

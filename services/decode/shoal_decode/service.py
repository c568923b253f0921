"""The servicer of shoal.decode.v1."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from shoal.decode.v1 import decode_pb2 as pb
from shoal.decode.v1 import decode_pb2_grpc as pb_grpc
from shoal_common.handlers import Context
from shoal_common.roots import AllowedRoots
from shoal_common.status import to_status
from shoal_core.errors import InvalidArgument, ShoalError
from shoal_decode import convert
from shoal_decode.open_videos import OpenVideos
from shoal_decode.pictures import make_picture
from shoal_decode.selection import frame_range, single_frames

if TYPE_CHECKING:
    from shoal_media.readers import VideoReader


class DecodeService(pb_grpc.DecodeServiceServicer):
    """Reads videos inside the allowed roots."""

    def __init__(self, *, videos: OpenVideos, roots: AllowedRoots) -> None:
        self._videos = videos
        self._roots = roots

    async def ProbeVideo(
        self, request: pb.ProbeVideoRequest, context: Context
    ) -> pb.ProbeVideoResponse:
        """Says what a video holds."""
        async with self._videos.borrow(self._roots.resolve(request.uri), None) as video:
            return convert.probe_response(video.info)

    async def StreamFrames(
        self, request: pb.StreamFramesRequest, context: Context
    ) -> AsyncIterator[pb.StreamFramesResponse]:
        """Streams frames; one that cannot be read is answered by its own error."""
        path = self._roots.resolve(request.uri)
        form, channels = convert.picture_form(request), convert.channels(request)

        def answer(reader: "VideoReader", frame_index: int) -> pb.StreamFramesResponse:
            try:
                return convert.picture_response(make_picture(reader, frame_index, form))
            except ShoalError as error:
                return pb.StreamFramesResponse(frame_index=frame_index, error=to_status(error))

        async with self._videos.borrow(path, channels) as video:
            indices = _selected(request, video.info.frame_count)
            async with aclosing(video.results(answer, indices)) as responses:
                async for response in responses:
                    yield response


def _selected(request: pb.StreamFramesRequest, frame_count: int) -> Sequence[int]:
    match request.WhichOneof("selection"):
        case "range":
            return frame_range(request.range.start, request.range.stop, frame_count)
        case "indices":
            return single_frames(request.indices.indices, frame_count)
        case _:
            raise InvalidArgument(
                "SELECTION_MISSING", "The request selects no frames; give `range` or `indices`."
            )

"""Videos, through shoal.decode.v1."""

import grpc

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_client import convert
from shoal_client.limits import PROBE_S
from shoal_client.types import Video
from shoal_common.status import typed_errors


class Videos:
    """What the services can say about a video."""

    def __init__(self, channel: grpc.Channel, peer: str) -> None:
        self._stub = decode_pb2_grpc.DecodeServiceStub(channel)
        self._peer = peer

    def probe(self, uri: str) -> Video:
        """Returns what a video holds; counts its frames.

        Args:
            uri: Absolute path or file:// URI, as the services see it.

        Raises:
            NotFound: VIDEO_NOT_FOUND.
            InvalidArgument: VIDEO_EMPTY or VIDEO_UNREADABLE.
            PermissionDenied: PATH_OUTSIDE_ROOTS.
        """
        with typed_errors(self._peer):
            response = self._stub.ProbeVideo(decode_pb2.ProbeVideoRequest(uri=uri), timeout=PROBE_S)
        return convert.video(response.video)

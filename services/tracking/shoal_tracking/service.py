"""shoal.tracking.v1.TrackingService."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_common.handlers import Context
from shoal_core.errors import InvalidArgument
from shoal_tracking.sessions import Sessions


class TrackingService(pb_grpc.TrackingServiceServicer):
    """Serves live sessions; the contract is in tracking.proto."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def TrackFrames(
        self, request_iterator: AsyncIterator[pb.TrackFramesRequest], context: Context
    ) -> AsyncIterator[pb.TrackFramesResponse]:
        """Tracks one stream of frames; its state lives as long as the stream."""
        first = await anext(request_iterator, pb.TrackFramesRequest())
        if first.WhichOneof("payload") != "config":
            raise InvalidArgument(
                "CONFIG_EXPECTED_FIRST", "The first message of a session must carry `config`."
            )
        async with (
            self._sessions.open(first.config) as session,
            aclosing(session.run(request_iterator)) as responses,
        ):
            async for response in responses:
                yield response

"""A decode servicer whose calls last as long as a test wants."""

import asyncio
from collections.abc import AsyncIterator

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_common.config import ServerConfig
from shoal_common.metrics import Metrics
from shoal_common.server import ServerBuilder
from shoal_common.tracing import current_trace_id

SERVICE = decode_pb2.DESCRIPTOR.services_by_name["DecodeService"].full_name


class LastingCalls(decode_pb2_grpc.DecodeServiceServicer):
    """Calls begin, say so, and end when `finish` is set."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.finish = asyncio.Event()
        self.probed = asyncio.Event()
        self.trace_ids: list[str | None] = []

    async def ProbeVideo(self, request, context):
        self.trace_ids.append(current_trace_id())
        self.begun.set()
        try:
            await self.finish.wait()
        finally:
            self.probed.set()
        return decode_pb2.ProbeVideoResponse()

    async def StreamFrames(
        self, request, context
    ) -> AsyncIterator[decode_pb2.StreamFramesResponse]:
        self.begun.set()
        yield decode_pb2.StreamFramesResponse(frame_index=1)
        await self.finish.wait()
        yield decode_pb2.StreamFramesResponse(frame_index=2)


def lasting_server(
    servicer: decode_pb2_grpc.DecodeServiceServicer,
    listen: str,
    *,
    drain_seconds: float = 5.0,
    metrics: Metrics | None = None,
    **settings: object,
) -> ServerBuilder:
    config = ServerConfig(listen=listen, drain_seconds=drain_seconds, **settings)
    builder = ServerBuilder(config, metrics)
    return builder.add(decode_pb2_grpc.add_DecodeServiceServicer_to_server, servicer, SERVICE)

"""Whatever a servicer raises reaches the caller as a typed status."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_common.channel import open_channel
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.status import typed_errors
from shoal_core.errors import Internal, NotFound, ShoalError, Unavailable


class Failing(decode_pb2_grpc.DecodeServiceServicer):
    """Raises what it was given, at once or after one item."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def ProbeVideo(self, request, context):
        raise self.error

    async def StreamFrames(
        self, request, context
    ) -> AsyncIterator[decode_pb2.StreamFramesResponse]:
        yield decode_pb2.StreamFramesResponse(frame_index=1)
        raise self.error


async def call(tmp_path: Path, error: Exception, *, stream: bool) -> tuple[ShoalError, int]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    decode_pb2_grpc.add_DecodeServiceServicer_to_server(Failing(error), server)
    target = f"unix:{tmp_path}/s"
    server.add_insecure_port(target)
    await server.start()
    received: list[int] = []
    try:
        async with open_channel(target) as channel:
            stub = decode_pb2_grpc.DecodeServiceStub(channel)
            with pytest.raises(ShoalError) as caught:
                await (consume(stub, received) if stream else probe(stub))
            return caught.value, len(received)
    finally:
        await server.stop(None)


async def probe(stub: decode_pb2_grpc.DecodeServiceStub) -> None:
    with typed_errors("decode"):
        await stub.ProbeVideo(decode_pb2.ProbeVideoRequest(), timeout=10)


async def consume(stub: decode_pb2_grpc.DecodeServiceStub, received: list[int]) -> None:
    with typed_errors("decode"):
        async for response in stub.StreamFrames(decode_pb2.StreamFramesRequest(), timeout=10):
            received.append(response.frame_index)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_typed_error_keeps_its_type_and_reason(tmp_path: Path, stream: bool) -> None:
    error, received = await call(
        tmp_path, NotFound("VIDEO_NOT_FOUND", "There is no video a.mp4."), stream=stream
    )
    assert type(error) is NotFound
    assert error.reason == "VIDEO_NOT_FOUND"
    assert received == int(stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_is_internal_and_tells_the_caller_nothing(tmp_path: Path, stream: bool) -> None:
    error, _ = await call(tmp_path, ZeroDivisionError("secret"), stream=stream)
    assert type(error) is Internal
    assert "secret" not in error.message


async def test_an_absent_server_is_unavailable(tmp_path: Path) -> None:
    async with open_channel(f"unix:{tmp_path}/nobody") as channel:
        stub = decode_pb2_grpc.DecodeServiceStub(channel)
        with pytest.raises(Unavailable):
            await probe(stub)

"""What both ends of a connection agree on, over real sockets."""

import asyncio

import grpc
import pytest

from shoal.common.v1 import video_pb2
from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_common.channel import channel_options, open_channel, open_sync_channel
from shoal_common.config import ServerConfig
from shoal_common.status import typed_errors
from shoal_common.transport import KEEPALIVE, MAX_MESSAGE_BYTES, MESSAGE_OPTIONS, Keepalive
from shoal_core.errors import ResourceExhausted, Unavailable
from tests.fakes.decode_calls import SERVICE, LastingCalls, lasting_server
from tests.fakes.running import running
from tests.fakes.swallowing_proxy import swallowing_proxy

QUICK = Keepalive(interval_ms=200, timeout_ms=300)
TOO_MANY = MAX_MESSAGE_BYTES + 1
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Large(decode_pb2_grpc.DecodeServiceServicer):
    """Answers with more than fits."""

    async def ProbeVideo(self, request, context):
        return decode_pb2.ProbeVideoResponse(video=video_pb2.Video(uri="v" * TOO_MANY))


async def probe(channel: grpc.aio.Channel, uri_length: int = 0) -> None:
    with typed_errors("decode"):
        await decode_pb2_grpc.DecodeServiceStub(channel).ProbeVideo(
            decode_pb2.ProbeVideoRequest(uri="v" * uri_length), timeout=60
        )


def assert_names_limit(error: ResourceExhausted) -> None:
    assert error.reason == "MESSAGE_TOO_LARGE"
    assert error.metadata["limit_bytes"] == str(MAX_MESSAGE_BYTES)
    assert str(MAX_MESSAGE_BYTES) in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("is_refused_by", ["client", "server"])
async def test_a_request_over_the_limit_names_the_limit(tmp_path, is_refused_by: str) -> None:
    target = f"unix:{tmp_path}/s"
    options = channel_options() if is_refused_by == "client" else UNLIMITED
    async with (
        running(lasting_server(LastingCalls(), target), target),
        grpc.aio.insecure_channel(target, options=options) as channel,
    ):
        with pytest.raises(ResourceExhausted) as caught:
            await probe(channel, TOO_MANY)
    assert_names_limit(caught.value)


@pytest.mark.parametrize("is_refused_by", ["client", "server"])
async def test_a_response_over_the_limit_names_the_limit(tmp_path, is_refused_by: str) -> None:
    target = f"unix:{tmp_path}/s"
    server = grpc.aio.server(options=UNLIMITED if is_refused_by == "client" else MESSAGE_OPTIONS)
    decode_pb2_grpc.add_DecodeServiceServicer_to_server(Large(), server)
    server.add_insecure_port(target)
    await server.start()
    async with open_channel(target) as channel:
        with pytest.raises(ResourceExhausted) as caught:
            await probe(channel)
    await server.stop(None)
    assert_names_limit(caught.value)


def test_a_caller_without_an_event_loop_meets_the_same_limit(tmp_path) -> None:
    with open_sync_channel(f"unix:{tmp_path}/nobody") as channel:
        stub = decode_pb2_grpc.DecodeServiceStub(channel)
        with pytest.raises((ResourceExhausted, Unavailable)), typed_errors("decode"):
            stub.ProbeVideo(decode_pb2.ProbeVideoRequest(uri="v" * TOO_MANY), timeout=10)


async def test_a_peer_that_is_slow_to_greet_is_waited_for() -> None:
    attempts = [asyncio.Event(), asyncio.Event()]

    async def take_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        next(attempt for attempt in attempts if not attempt.is_set()).set()
        await reader.read()  # until the client gives up
        writer.close()

    silent = await asyncio.start_server(take_in, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with open_channel(f"127.0.0.1:{port}") as channel:
        channel.get_state(try_to_connect=True)
        await attempts[0].wait()
        second = asyncio.create_task(attempts[1].wait())
        done, _ = await asyncio.wait([second], timeout=1)
        second.cancel()
    silent.close()
    assert not done, "the first connection was given up"


async def quick_server(servicer: LastingCalls) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=[*MESSAGE_OPTIONS, *QUICK.server_options])
    decode_pb2_grpc.add_DecodeServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def consume(channel: grpc.aio.Channel) -> list[int]:
    received = []
    with typed_errors("decode"):
        stub = decode_pb2_grpc.DecodeServiceStub(channel)
        async for response in stub.StreamFrames(decode_pb2.StreamFramesRequest()):
            received.append(response.frame_index)
    return received


async def test_a_peer_that_vanishes_without_a_word_is_noticed_on_a_waiting_stream() -> None:
    servicer = LastingCalls()
    server, port = await quick_server(servicer)
    async with (
        swallowing_proxy(port) as proxy,
        grpc.aio.insecure_channel(proxy.target, options=QUICK.client_options) as channel,
    ):
        consuming = asyncio.create_task(consume(channel))
        await servicer.begun.wait()
        proxy.swallow()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(60):  # without pings it would wait for ever
                await consuming
    await server.stop(None)


async def test_pings_of_a_silent_stream_are_never_too_many() -> None:
    servicer = LastingCalls()
    server, port = await quick_server(servicer)
    target = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(target, options=QUICK.client_options) as channel:
        consuming = asyncio.create_task(consume(channel))
        await servicer.begun.wait()
        # Ten pings; gRPC's own servers give up after three that come too soon.
        done, _ = await asyncio.wait([consuming], timeout=10 * QUICK.interval_ms / 1000)
        assert not done
        servicer.finish.set()
        assert await consuming == [1, 2]
    await server.stop(None)


def test_a_vanished_peer_is_noticed_within_half_a_minute() -> None:
    assert KEEPALIVE.interval_ms + KEEPALIVE.timeout_ms <= 30_000


def test_channels_ping_no_more_often_than_servers_allow() -> None:
    options = dict(channel_options())
    least_ms = dict(KEEPALIVE.server_options)["grpc.http2.min_ping_interval_without_data_ms"]
    assert options["grpc.keepalive_time_ms"] > least_ms


@pytest.mark.parametrize(
    ("listen", "reflection", "is_allowed"),
    [
        ("unix:{folder}/s", None, True),
        ("unix:{folder}/s", False, False),
        ("127.0.0.1:0", None, True),
        ("0.0.0.0:0", None, False),
        ("0.0.0.0:0", True, True),
    ],
)
def test_services_are_listed_to_this_machine_unless_it_is_said_otherwise(
    tmp_path, listen: str, reflection: bool | None, is_allowed: bool
) -> None:
    config = ServerConfig(listen=listen.format(folder=tmp_path), reflection=reflection)
    assert config.allows_reflection is is_allowed


async def test_a_server_without_reflection_lists_nothing(tmp_path) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    target = f"unix:{tmp_path}/s"
    builder = lasting_server(LastingCalls(), target, reflection=False)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with running(builder, target) as service:
        stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.ServerReflectionInfo(iter([request]), timeout=10):
                pass
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_with_reflection_lists_its_servicers(tmp_path) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    target = f"unix:{tmp_path}/s"
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with running(lasting_server(LastingCalls(), target), target) as service:
        stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
        async for response in stub.ServerReflectionInfo(iter([request]), timeout=10):
            names = {listed.name for listed in response.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names

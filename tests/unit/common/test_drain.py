"""What callers of a server that stops are told, and when."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_common.drain import RunningCalls
from shoal_common.metrics import Metrics
from shoal_common.status import typed_errors
from shoal_core.errors import Unavailable
from tests.fakes.decode_calls import SERVICE, LastingCalls, lasting_server
from tests.fakes.running import RunningService, running

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = decode_pb2.ProbeVideoRequest()


async def probe(stub: decode_pb2_grpc.DecodeServiceStub) -> None:
    with typed_errors("decode"):
        await stub.ProbeVideo(REQUEST, timeout=20)


async def consume(stub: decode_pb2_grpc.DecodeServiceStub) -> list[int]:
    received = []
    with typed_errors("decode"):
        async for response in stub.StreamFrames(decode_pb2.StreamFramesRequest(), timeout=20):
            received.append(response.frame_index)
    return received


async def begin_to_stop(service: RunningService) -> "asyncio.Task[None]":
    """Returns the stop that runs once health has said so."""
    watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
    stopping = asyncio.create_task(service.stop())
    while (await watch.read()).status != NOT_SERVING:
        pass
    return stopping


@pytest.mark.parametrize("call", [probe, consume])
async def test_a_call_that_runs_may_end_in_the_time_of_the_drain(tmp_path: Path, call) -> None:
    target, servicer = f"unix:{tmp_path}/s", LastingCalls()
    async with running(lasting_server(servicer, target), target) as service:
        calling = asyncio.create_task(call(decode_pb2_grpc.DecodeServiceStub(service.channel)))
        await servicer.begun.wait()
        stopping = await begin_to_stop(service)
        servicer.finish.set()
        assert await calling in (None, [1, 2])
        await stopping


@pytest.mark.parametrize("call", [probe, consume])
async def test_a_call_that_does_not_end_is_told_why_it_must(tmp_path: Path, call) -> None:
    target, servicer = f"unix:{tmp_path}/s", LastingCalls()
    builder = lasting_server(servicer, target, drain_seconds=0.05)
    async with (
        running(builder, target) as service,
        grpc.aio.insecure_channel(target) as impatient,  # no retries: they would find nobody
    ):
        calling = asyncio.create_task(call(decode_pb2_grpc.DecodeServiceStub(impatient)))
        await servicer.begun.wait()
        await service.stop()
        with pytest.raises(Unavailable) as caught:
            await calling
    assert caught.value.reason == "SERVER_STOPPING"


async def test_new_calls_are_refused_while_others_end(tmp_path: Path) -> None:
    target, servicer = f"unix:{tmp_path}/s", LastingCalls()
    async with running(lasting_server(servicer, target), target) as service:
        stub = decode_pb2_grpc.DecodeServiceStub(service.channel)
        calling = asyncio.create_task(consume(stub))
        await servicer.begun.wait()
        stopping = await begin_to_stop(service)
        with pytest.raises(Unavailable) as caught:
            await consume(stub)
        assert caught.value.reason == "SERVER_STOPPING"
        servicer.finish.set()
        assert await calling == [1, 2]
        await stopping


async def test_a_watch_of_the_health_sees_the_end_and_does_not_hold_it_up(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/s"
    statuses = []
    async with running(lasting_server(LastingCalls(), target, drain_seconds=60), target) as service:
        health = health_pb2_grpc.HealthStub(service.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        statuses.append((await watch.read()).status)
        await service.stop()
        statuses.append((await watch.read()).status)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
    assert statuses == [health_pb2.HealthCheckResponse.SERVING, NOT_SERVING]
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_caller_that_leaves_is_not_mistaken_for_a_stop(tmp_path: Path) -> None:
    target, servicer, metrics = f"unix:{tmp_path}/s", LastingCalls(), Metrics("shoal_fake")
    async with running(lasting_server(servicer, target, metrics=metrics), target) as service:
        stub = decode_pb2_grpc.DecodeServiceStub(service.channel)
        call = stub.ProbeVideo(REQUEST, timeout=20)
        await servicer.begun.wait()
        call.cancel()
        await servicer.probed.wait()
        servicer.finish.set()
        await probe(stub)
    assert metrics.method(f"/{SERVICE}/ProbeVideo").ended == {"CANCELLED": 1, "OK": 1}


async def test_a_stream_of_requests_ends_when_none_is_being_answered() -> None:
    running, begun, answer = RunningCalls(), asyncio.Event(), asyncio.Event()

    async def serve(*, has_request: bool) -> None:
        with running.running() as call:
            call.begin_stream()
            if has_request:
                call.begin_request()
            begun.set()
            await answer.wait()
            call.end_request()
            await asyncio.Event().wait()

    for has_request in (False, True):
        begun.clear()
        answer.clear()
        serving = asyncio.create_task(serve(has_request=has_request))
        await begun.wait()
        draining = asyncio.create_task(running.drain(60))
        await asyncio.sleep(0.01)
        assert serving.done() is not has_request
        answer.set()
        async with asyncio.timeout(20):
            await asyncio.gather(serving, return_exceptions=True)
            await draining
        assert serving.cancelled()

"""Readiness follows the process's own start and the peers that it cannot do without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal_common.channel import open_channel
from shoal_common.config import ServerConfig
from shoal_common.health import PROCESS, Dependency, Readiness
from shoal_common.server import ServerBuilder
from shoal_core.errors import FailedPrecondition
from tests.fakes.decode_calls import SERVICE, LastingCalls, lasting_server
from tests.fakes.running import running

Status = health_pb2.HealthCheckResponse


async def status(channel: grpc.aio.Channel, service: str = PROCESS) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)).status


async def wait_for(channel: grpc.aio.Channel, wanted: int, service: str = PROCESS) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    async for response in health_pb2_grpc.HealthStub(channel).Watch(request, timeout=20):
        if response.status == wanted:
            return
    raise AssertionError(f"the watch ended before it said {wanted}")


@asynccontextmanager
async def service_needing(
    peer: str, folder: Path, needed_by: list[str]
) -> AsyncIterator[grpc.aio.Channel]:
    target = f"unix:{folder}/s"
    async with open_channel(peer) as channel:
        builder = lasting_server(LastingCalls(), target).depends_on(
            "peer", channel, needed_by=needed_by
        )
        async with running(builder, target) as service:
            yield service.channel


async def test_the_process_and_each_servicer_can_be_asked_for(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/s"
    async with running(lasting_server(LastingCalls(), target), target) as service:
        assert await status(service.channel) == Status.SERVING
        assert await status(service.channel, SERVICE) == Status.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await status(service.channel, "nobody")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_process_is_alive_and_not_ready_until_its_start_is_over(tmp_path: Path) -> None:
    target, warm = f"unix:{tmp_path}/s", asyncio.Event()

    async def warm_up() -> None:
        await warm.wait()

    builder = lasting_server(LastingCalls(), target).start_with(warm_up)
    async with running(builder, target) as service:
        assert await status(service.channel) == Status.NOT_SERVING
        warm.set()
        await wait_for(service.channel, Status.SERVING)


async def test_a_process_whose_start_fails_ends(tmp_path: Path) -> None:
    async def warm_up() -> None:
        raise FailedPrecondition("COLD", "It stays cold.")

    builder = ServerBuilder(ServerConfig(listen=f"unix:{tmp_path}/s")).start_with(warm_up)
    with pytest.raises(FailedPrecondition):
        await builder.serve(asyncio.Event())


async def test_it_is_ready_once_a_peer_that_it_needs_is_there(tmp_path: Path) -> None:
    peer = f"unix:{tmp_path}/p"
    async with service_needing(peer, tmp_path, [SERVICE]) as channel:
        assert await status(channel) == Status.NOT_SERVING
        assert await status(channel, SERVICE) == Status.NOT_SERVING
        async with running(ServerBuilder(ServerConfig(listen=peer)), peer):
            await wait_for(channel, Status.SERVING)
            assert await status(channel, SERVICE) == Status.SERVING


async def test_a_peer_that_no_servicer_needs_is_not_waited_for(tmp_path: Path) -> None:
    async with service_needing(f"unix:{tmp_path}/p", tmp_path, []) as channel:
        assert await status(channel) == Status.SERVING


async def test_only_the_servicers_that_need_a_lost_peer_are_not_ready(tmp_path: Path) -> None:
    async with service_needing(f"unix:{tmp_path}/p", tmp_path, [PROCESS]) as channel:
        assert await status(channel) == Status.NOT_SERVING
        assert await status(channel, SERVICE) == Status.SERVING


async def test_two_processes_that_need_one_another_both_become_ready(tmp_path: Path) -> None:
    targets = [f"unix:{tmp_path}/{name}" for name in "ab"]
    async with open_channel(targets[0]) as to_a, open_channel(targets[1]) as to_b:
        a = lasting_server(LastingCalls(), targets[0]).depends_on("b", to_b, needed_by=[SERVICE])
        b = lasting_server(LastingCalls(), targets[1]).depends_on("a", to_a, needed_by=[SERVICE])
        async with running(a, targets[0]) as first, running(b, targets[1]) as second:
            await wait_for(first.channel, Status.SERVING)
            await wait_for(second.channel, Status.SERVING)


class Connection:
    """A channel whose state a test sets."""

    def __init__(self) -> None:
        self.state = grpc.ChannelConnectivity.READY
        self.changed = asyncio.Event()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.state

    async def wait_for_state_change(self, last: grpc.ChannelConnectivity) -> None:
        while self.state is last:
            await self.changed.wait()
            self.changed.clear()

    def become(self, state: grpc.ChannelConnectivity) -> None:
        self.state = state
        self.changed.set()


async def until(readiness: Readiness, *, is_ready: bool) -> None:
    while readiness.is_ready() is not is_ready:
        await readiness.changed.wait()


async def test_a_peer_that_is_gone_for_a_moment_is_not_missed() -> None:
    connection = Connection()
    dependency = Dependency("peer", connection, [SERVICE])
    readiness = Readiness([SERVICE], [dependency])
    readiness.finish_start()
    following = asyncio.create_task(readiness.follow(dependency, grace_seconds=60))
    await until(readiness, is_ready=True)
    for state in (
        grpc.ChannelConnectivity.IDLE,
        grpc.ChannelConnectivity.CONNECTING,
        grpc.ChannelConnectivity.READY,
    ):
        changed = readiness.changed
        connection.become(state)
        for _ in range(10):
            await asyncio.sleep(0)
        assert readiness.is_ready()
        assert not changed.is_set()
    following.cancel()


async def test_a_peer_that_stays_away_is_missed_whatever_its_channel_tries() -> None:
    connection = Connection()
    dependency = Dependency("peer", connection, [SERVICE])
    readiness = Readiness([SERVICE], [dependency])
    readiness.finish_start()
    following = asyncio.create_task(readiness.follow(dependency, grace_seconds=0.05))
    await until(readiness, is_ready=True)
    connection.become(grpc.ChannelConnectivity.TRANSIENT_FAILURE)
    await until(readiness, is_ready=False)
    connection.become(grpc.ChannelConnectivity.READY)
    await until(readiness, is_ready=True)
    following.cancel()

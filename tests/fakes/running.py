"""A service of ours inside the test's process, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from shoal_common.channel import open_channel
from shoal_common.server import ServerBuilder


class RunningService:
    """A server that serves until it is told to stop."""

    def __init__(self, channel: grpc.aio.Channel, stop: asyncio.Event, done: asyncio.Task[None]):
        self.channel = channel
        self._stop = stop
        self._done = done

    async def stop(self) -> None:
        """Stops as SIGTERM does."""
        self._stop.set()
        await self._done


@asynccontextmanager
async def running(builder: ServerBuilder, target: str) -> AsyncIterator[RunningService]:
    """Serves what `builder` holds for as long as the block runs."""
    stop = asyncio.Event()
    done = asyncio.create_task(builder.serve(stop))
    channel = open_channel(target)
    service = RunningService(channel, stop, done)
    try:
        await asyncio.wait(
            [done, asyncio.ensure_future(channel.channel_ready())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        yield service
    finally:
        await channel.close()
        await service.stop()

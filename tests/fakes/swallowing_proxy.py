"""A TCP proxy whose far end can vanish without a word, as when a cable is pulled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SwallowingProxy:
    """Passes bytes between a client and a server until it is told to swallow them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._passes = asyncio.Event()
        self._passes.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.target = ""

    def swallow(self) -> None:
        """Passes nothing any more; connections stay open."""
        self._passes.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)

    async def close(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await self._passes.wait()
                sink.write(data)
                await sink.drain()
        await self._passes.wait()
        sink.close()


@asynccontextmanager
async def swallowing_proxy(port: int) -> AsyncIterator[SwallowingProxy]:
    """Yields a proxy before 127.0.0.1:port."""
    proxy = SwallowingProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        await proxy.close()
        server.close()

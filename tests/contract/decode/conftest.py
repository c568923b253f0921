"""A decode service on a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pytest_asyncio import fixture as async_fixture

from shoal.decode.v1 import decode_pb2_grpc as pb_grpc
from shoal_decode.__main__ import build
from shoal_decode.config import DecodeConfig
from tests.fakes.running import running


@async_fixture
async def start_decode(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts a service that may read below the given folders; returns its stub."""
    async with AsyncExitStack() as stack:

        async def start(*roots: Path, max_open_videos: int = 4) -> Any:
            config = DecodeConfig(
                listen=f"unix:{tmp_path}/s",
                allowed_roots=tuple(map(str, roots)),
                max_open_videos=max_open_videos,
            )
            service = await stack.enter_async_context(running(await build(config), config.listen))
            return pb_grpc.DecodeServiceStub(service.channel)

        yield start

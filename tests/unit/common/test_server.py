"""A server stops as a whole."""

import asyncio
from pathlib import Path

import pytest

from shoal_common.config import ServerConfig
from shoal_common.server import ServerBuilder


async def test_a_cleanup_that_fails_leaves_no_other_undone(tmp_path: Path) -> None:
    done: list[str] = []

    async def clean_up() -> None:
        done.append("cleaned up")

    async def fail() -> None:
        raise OSError("the last one added comes first")

    builder = ServerBuilder(ServerConfig(listen=f"unix:{tmp_path}/s", drain_seconds=0.0))
    builder.on_stop(clean_up).on_stop(fail)
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(OSError, match="comes first"):
        await builder.serve(stop)
    assert done == ["cleaned up"]

"""A serving service on a socket, beside an engine on another."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_asyncio import fixture as async_fixture

from shoal.serving.v1 import serving_pb2_grpc as pb_grpc
from shoal_serving.__main__ import build
from shoal_serving.config import ServingConfig
from shoal_serving.conversion import Conversion, ConversionLimits
from tests.fakes.engine import FakeEngine
from tests.fakes.running import RunningService, running

ROOT = Path(__file__).resolve().parents[3]


class Serving:
    """The service with its stub, its engine and its folders."""

    def __init__(self, service: RunningService, engine: FakeEngine, home: Path) -> None:
        self.stub: Any = pb_grpc.ServingServiceStub(service.channel)
        self.service = service
        self.engine = engine
        self.home = home

    def leftovers(self) -> list[str]:
        """What half-done work has left behind."""
        return os.listdir(self.home / "models" / "staging")


@async_fixture
async def start_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Starts a service whose conversion child behaves as named; ends it with the test.

    The behaviour "shoal" is that of the importer itself.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    home = tmp_path / "home"
    engine = FakeEngine(f"unix:{tmp_path}/e", home / "models" / "repository")

    async with AsyncExitStack() as stack:

        async def start(
            behaviour: str = "works",
            *,
            with_engine: bool = True,
            root: Path = tmp_path / "data",
            unload_grace_seconds: float = 60.0,
        ) -> Serving:
            config = ServingConfig(
                listen=f"unix:{tmp_path}/s",
                home=home,
                engine_target=engine.target,
                allowed_roots=(str(tmp_path / "data"), str(root)),
                engine_wait_seconds=20 if with_engine else 0.3,
                unload_grace_seconds=unload_grace_seconds,
            )
            fake = Conversion(
                ConversionLimits(seconds=60, memory_bytes=4 * 2**30),
                command=(sys.executable, "-m", "tests.fakes.conversion_child", behaviour),
            )
            conversion = None if behaviour == "shoal" else fake
            builder = await build(config, conversion=conversion, poll_seconds=0.05)
            if with_engine:
                await engine.start()
            stack.push_async_callback(engine.stop)
            service = await stack.enter_async_context(running(builder, config.listen))
            return Serving(service, engine, home)

        yield start

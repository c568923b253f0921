"""An engine and a serving service, both fakes, on sockets."""

from collections.abc import AsyncIterator
from pathlib import Path

from pytest_asyncio import fixture as async_fixture

from tests.fakes.pose_engine import FakePoseEngine
from tests.fakes.watched_deployments import FakeDeployments


@async_fixture
async def engine(tmp_path: Path) -> AsyncIterator[FakePoseEngine]:
    engine = FakePoseEngine(f"unix:{tmp_path}/e")
    await engine.start()
    yield engine
    await engine.stop()


@async_fixture
async def serving(tmp_path: Path) -> AsyncIterator[FakeDeployments]:
    serving = FakeDeployments(f"unix:{tmp_path}/s")
    await serving.start()
    yield serving
    await serving.stop()

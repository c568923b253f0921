"""A label store on a socket."""

from collections.abc import AsyncIterator
from pathlib import Path

from pytest_asyncio import fixture as async_fixture

from shoal.labels.v1.labels_pb2_grpc import LabelsServiceStub
from shoal_labels.__main__ import build
from shoal_labels.config import LabelsConfig
from tests.contract.labels.calls import Ensemble
from tests.fakes.running import running


@async_fixture
async def labels(tmp_path: Path) -> AsyncIterator[Ensemble]:
    """A running label store that may touch one folder."""
    files = tmp_path / "files"
    files.mkdir()
    config = LabelsConfig(
        listen=f"unix:{tmp_path}/s", home=tmp_path / "home", allowed_roots=(str(files),)
    )
    async with running(await build(config), config.listen) as service:
        yield Ensemble(LabelsServiceStub(service.channel), config.home / "labels", files)

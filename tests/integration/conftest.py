"""A whole ensemble: every service a process of its own, on sockets in a folder of its own."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from pytest_asyncio import fixture as async_fixture

from shoal_client import Shoal, Targets, WindowTracker
from shoal_common.channel import open_channel
from shoal_core.pose import FramePoses
from tests.processes import running_service, target
from tests.unit.serving.importing.class_vectors import graft_class_vectors

SERVICES = ("decode", "engine", "serving", "labels", "orchestrator", "worker", "tracking")
BOTTOM_UP = ("minimal_instance.UNet.bottomup",)
TOP_DOWN = ("minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance")
CENTERED = ("minimal_instance.UNet.centered_instance",)
MODELS = {"bottomup": BOTTOM_UP, "topdown": TOP_DOWN, "centered": CENTERED}


@dataclass(frozen=True)
class Ensemble:
    """Where the services are, and a client of them."""

    sockets: Path
    home: Path
    shoal: Shoal
    process_ids: dict[str, int]

    def track(self, video: Path, model: str, frames: range, **fields: object) -> list[FramePoses]:
        """Runs a job and returns the poses of its result."""
        created = self.shoal.jobs.create_track(str(video), model, frames=frames, **fields)
        *_, job = self.shoal.jobs.watch(created.name)
        assert job.error is None, job.error
        return list(self.shoal.labels.stream_poses(job.result_label_set))


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Ensemble]:
    """All services, with the models of `MODELS` imported under those names.

    "multiclass_topdown" is the top-down model with a class vector of random weights.
    """
    folder = tmp_path_factory.mktemp("ensemble")
    home = folder / "home"
    with ExitStack() as stack:
        process_ids = {
            name: stack.enter_context(running_service(Path(sys.executable), name, home, folder))
            for name in SERVICES
        }
        targets = Targets(
            **{
                name: target(folder, name)
                for name in ("decode", "serving", "labels", "orchestrator")
            }
        )
        shoal = stack.enter_context(Shoal.connect(targets))
        for name, folders in MODELS.items():
            shoal.models.import_([str(shared_data / "models" / f) for f in folders], name=name)
        centroid, centered = (shared_data / "models" / name for name in TOP_DOWN)
        with_classes = graft_class_vectors(centered, folder / "with_classes")
        shoal.models.import_([str(centroid), str(with_classes)], name="multiclass_topdown")
        yield Ensemble(folder, home, shoal, process_ids)


@async_fixture
async def tracking_channel(ensemble: Ensemble) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(target(ensemble.sockets, "tracking")) as channel:
        yield channel


@pytest.fixture(scope="session")
def pair_video(shared_data: Path) -> Path:
    return shared_data / "pair" / "centered_pair_small.mp4"


WINDOW = WindowTracker()

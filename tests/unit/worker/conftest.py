"""A worker between fakes of its peers, and a video whose frames name themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_asyncio import fixture as async_fixture

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common.watchdog import Watchdog
from shoal_media.frames import encode_png
from shoal_media.readers import open_video
from shoal_worker.__main__ import build
from shoal_worker.config import WorkerConfig
from tests.fakes.label_store import FakeLabelStore
from tests.fakes.pose_engine import FakePoseEngine, contract
from tests.fakes.running import running
from tests.fakes.watched_deployments import FakeDeployments
from tests.fakes.work_queue import FakeWorkQueue

FRAME_COUNT = 50
MODEL = "models/fly/versions/1"
WAIT_SECONDS = 30.0  # only a bug lets anything wait so long


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 8 × 8 px; the second pixel is the frame's index."""
    folder = tmp_path_factory.mktemp("video")
    pixels = np.random.default_rng(11).integers(0, 256, (FRAME_COUNT, 8, 8, 1), np.uint8)
    pixels[:, 0, 1, 0] = np.arange(FRAME_COUNT)
    for index, frame in enumerate(pixels):
        (folder / f"{index:03}.png").write_bytes(encode_png(frame))
    return folder


@pytest.fixture(scope="session")
def pixels(folder: Path) -> np.ndarray:
    with open_video(folder) as reader:
        return np.stack(list(reader.frames()))


@pytest.fixture(scope="session")
def video(folder: Path) -> video_pb2.Video:
    with open_video(folder) as reader:
        return video_pb2.Video(
            uri=str(folder), frame_count=FRAME_COUNT, content_hash=reader.info.content_hash
        )


def infer_task(video: video_pb2.Video, start: int, stop: int, **fields: Any) -> jobs_pb2.Task:
    """A task that infers a segment of a job over the whole video."""
    index = fields.pop("segment_index", 0)
    token = fields.pop("token", 1)
    label_set = fields.pop("label_set", "projects/lab/labelSets/raw")
    spec = {
        "video": video,
        "model_version": MODEL,
        "range": video_pb2.FrameRange(start=0, stop=FRAME_COUNT),
        "inference": parameters_pb2.InferenceParameters(batch_size=4),
    }
    return jobs_pb2.Task(
        name=f"projects/lab/jobs/j/tasks/{index}",
        fencing_token=token,
        spec=jobs_pb2.TrackJobSpec(**spec | fields),
        infer_segment=jobs_pb2.InferSegmentTask(
            range=video_pb2.FrameRange(start=start, stop=stop),
            segment_index=index,
            label_set=label_set,
        ),
    )


@dataclass
class Peers:
    """Everything around a worker."""

    folder: Path
    queue: FakeWorkQueue
    labels: FakeLabelStore
    serving: FakeDeployments
    engine: FakePoseEngine

    @asynccontextmanager
    async def worker(
        self, root: Path, watchdog: Watchdog | None = None, **settings: Any
    ) -> AsyncIterator[None]:
        """Runs a worker that may read below `root`."""
        config = WorkerConfig(
            listen=f"unix:{self.folder}/w",
            orchestrator_target=self.queue.target,
            labels_target=self.labels.target,
            serving_target=self.serving.target,
            allowed_roots=(str(root),),
            drain_seconds=0.5,
            training_task_count=0,  # see tests/contract/training
            runs_folder=self.folder / "runs",
            **settings,
        )
        async with (
            running(await build(config, watchdog), config.listen),
            asyncio.timeout(WAIT_SECONDS),
        ):
            yield


@async_fixture
async def peers(tmp_path: Path) -> AsyncIterator[Peers]:
    peers = Peers(
        tmp_path,
        FakeWorkQueue(f"unix:{tmp_path}/o"),
        FakeLabelStore(f"unix:{tmp_path}/l"),
        FakeDeployments(f"unix:{tmp_path}/s"),
        FakePoseEngine(f"unix:{tmp_path}/e"),
    )
    async with AsyncExitStack() as stack:
        for peer in (peers.queue, peers.labels, peers.serving, peers.engine):
            await peer.start()
            stack.push_async_callback(peer.stop)
        await peers.serving.deploy(MODEL, peers.engine.target, contract())
        yield peers

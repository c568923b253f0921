"""Files of a run on their way to its job, and what is told beside them."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc, training_pb2
from shoal_core.errors import ResourceExhausted, Unavailable
from shoal_worker.training.artifacts import RunArtifacts
from shoal_worker.training.reporter import Reporter
from tests.fakes.work_queue import FakeWorkQueue

TASK = jobs_pb2.Task(
    name="projects/lab/jobs/fly/tasks/0",
    fencing_token=1,
    train=jobs_pb2.TrainTask(
        spec=training_pb2.TrainingJobSpec(stages=[training_pb2.TrainingStage(id="centroid")])
    ),
)


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[FakeWorkQueue]:
    queue = FakeWorkQueue(f"unix:{tmp_path}/q")
    await queue.start()
    yield queue
    await queue.stop()


@pytest.fixture
async def channel(queue: FakeWorkQueue) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(queue.target) as channel:
        yield channel


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    for name in ("model/network.onnx", "checkpoints/last.pt", "zebra.csv", ".half", "a/.half"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def artifacts(run: Path, channel: grpc.aio.Channel) -> RunArtifacts:
    return RunArtifacts(
        TASK,
        run,
        jobs=jobs_pb2_grpc.JobsServiceStub(channel),
        queue=jobs_pb2_grpc.WorkQueueServiceStub(channel),
    )


@pytest.fixture
def reporter(channel: grpc.aio.Channel) -> Reporter:
    return Reporter(TASK, jobs_pb2_grpc.WorkQueueServiceStub(channel))


async def test_files_wait_for_room_and_for_an_orchestrator_that_restarts(
    artifacts: RunArtifacts, queue: FakeWorkQueue
) -> None:
    queue.upload_faults = [
        ResourceExhausted("DISK_FULL", "The disk is full."),
        Unavailable("SERVER_STOPPING", "Restarting."),
    ]
    await artifacts.push_all()
    assert list(queue.uploads) == ["checkpoints/last.pt", "zebra.csv", "model/network.onnx"]


async def test_only_what_has_changed_is_uploaded_again(
    artifacts: RunArtifacts, queue: FakeWorkQueue, run: Path
) -> None:
    await artifacts.push()
    queue.uploads.clear()
    (run / "zebra.csv").write_text("more lines")
    (run / "checkpoints/last.pt").unlink()
    await artifacts.push()
    assert queue.uploads == {"zebra.csv": b"more lines"}


async def test_a_talkative_trainer_fills_neither_messages_nor_the_ledger(
    reporter: Reporter, queue: FakeWorkQueue
) -> None:
    long_line, count = "█" * 3000, 30_000
    for _ in range(count):
        reporter.log(long_line)
    await reporter.finish()
    ((event,),) = [request.events for request in queue.reports]
    assert set(event.log.lines) == {"█" * 2000}
    assert len(event.log.lines) + event.log.dropped_line_count == count
    assert event.ByteSize() * 500 < 64 << 20  # as many as a message may hold

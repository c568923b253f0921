import asyncio
import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from shoal_common.inference.priority import Priority
from shoal_common.watchdog import Watchdog
from shoal_core.errors import InvalidArgument, Unavailable
from shoal_engine.graph import Stopper, Threads
from shoal_engine.models import Model
from shoal_engine.statistics import Statistics
from shoal_engine.streams import Streams
from shoal_media.readers import open_video
from shoal_serving.importing import import_model
from tests.fakes import onnx_models
from tests.fakes.clock import FakeClock

REAL_MODELS = {
    "bottomup": ("minimal_instance.UNet.bottomup",),
    "topdown": ("minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance"),
    "multiclass_bottomup": ("min_tracks_2node.UNet.bottomup_multiclass",),
}

THREADS = Threads(stream_count=2, wide_count=2)


@pytest.fixture
def stuck() -> list[str]:
    """What the watchdog of `streams` has said."""
    return []


@pytest.fixture
def clock() -> FakeClock:
    """The time of that watchdog."""
    return FakeClock()


@pytest.fixture
def watchdog(stuck: list[str], clock: FakeClock) -> Watchdog:
    return Watchdog(limit_seconds=1.5, end=stuck.append, sleep=clock.sleep)


@pytest.fixture
def streams(watchdog: Watchdog) -> Iterator[Streams]:
    streams = Streams(
        stream_count=3, max_queued_requests=dict.fromkeys(Priority, 1), watchdog=watchdog
    )
    yield streams
    streams.close()


@pytest.fixture
def brightness(tmp_path: Path) -> Model:
    onnx_models.write_brightness(tmp_path, "brightness", 1)
    return Model.load(tmp_path / "brightness" / "1", "brightness", 1, threads=THREADS, processor="")


@pytest.mark.parametrize("kind", REAL_MODELS)
async def test_results_depend_neither_on_neighbours_nor_on_threads(
    streams: Streams, shared_data: Path, tmp_path: Path, kind: str
) -> None:
    import_model([shared_data / "models" / name for name in REAL_MODELS[kind]], tmp_path / "1")
    model = Model.load(tmp_path / "1", kind, 1, threads=THREADS, processor="")
    with open_video(shared_data / "pair" / "centered_pair_small.mp4") as reader:
        images = np.stack([reader.read(index) for index in (0, 300, 555, 900, 1000)])
    names = [spec.name for spec in model.outputs]
    together = await streams.run(model, {"images": images}, names, Statistics())
    for index, wide in itertools.product(range(len(images)), (False, True)):
        frame = {"images": images[index : index + 1]}
        alone = model.run(frame, names, wide=wide, stopper=Stopper())
        for name in names:
            np.testing.assert_array_equal(together[name][index], alone[name][0], err_msg=name)


@pytest.mark.parametrize("frame_count", [1, 2, 3, 4, 17])
async def test_frames_come_back_in_their_order(
    streams: Streams, brightness: Model, frame_count: int
) -> None:
    images = np.arange(frame_count, dtype=np.uint8)[:, None, None, None]
    names = ["instance_scores"]
    outputs = await streams.run(brightness, {"images": images}, names, Statistics())
    assert outputs["instance_scores"][:, 0].tolist() == list(range(frame_count))


class GatedModel:
    """Counts the frames that it begins, and finishes none before the gate opens."""

    name = "gated"
    is_exact = True

    def __init__(self) -> None:
        self.begun = 0
        self.gate = threading.Event()
        self.has_begun = threading.Semaphore(0)

    def frame_count(self, inputs: Mapping[str, np.ndarray]) -> int:
        return len(inputs["images"])

    def run(
        self, inputs: object, outputs: object, *, wide: bool, stopper: Stopper
    ) -> dict[str, np.ndarray]:
        stopper.check()
        self.begun += 1
        self.has_begun.release()
        assert self.gate.wait(30)
        return {"y": np.zeros(1)}


async def test_frames_that_have_not_begun_are_dropped_with_their_caller(streams: Streams) -> None:
    model = GatedModel()
    request = asyncio.create_task(
        streams.run(model, {"images": np.zeros(50)}, ["y"], Statistics())  # type: ignore[arg-type]
    )
    for _ in range(3):
        await asyncio.to_thread(model.has_begun.acquire)
    request.cancel()
    await asyncio.wait([request])
    model.gate.set()
    streams.close()
    assert model.begun == 3


async def test_a_request_too_many_is_refused_and_room_comes_back(streams: Streams) -> None:
    model = GatedModel()

    def ask() -> asyncio.Task[object]:
        return asyncio.create_task(
            streams.run(model, {"images": np.zeros(1)}, ["y"], Statistics())  # type: ignore[arg-type]
        )

    waiting = [ask() for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await ask()
    assert caught.value.reason == "QUEUE_FULL"
    model.gate.set()
    await asyncio.gather(*waiting)
    await ask()


async def test_a_run_that_does_not_end_is_noticed_by_its_model(
    streams: Streams, watchdog: Watchdog, clock: FakeClock, stuck: list[str]
) -> None:
    model = GatedModel()
    watching = asyncio.create_task(watchdog.run())
    request = asyncio.create_task(
        streams.run(model, {"images": np.zeros(1)}, ["y"], Statistics())  # type: ignore[arg-type]
    )
    await asyncio.to_thread(model.has_begun.acquire)
    for _ in range(2):
        assert stuck == []
        await clock.until_someone_sleeps(1.0)
        clock.advance(1.0)
    await clock.until_someone_sleeps(1.0)
    assert stuck[0].startswith("a run of model 'gated' has not come to an end")
    model.gate.set()
    await request
    watching.cancel()


async def test_a_live_frame_goes_before_the_rest_of_the_batches(streams: Streams) -> None:
    ended: list[str] = []

    async def ask(name: str, model: GatedModel, count: int, priority: Priority) -> None:
        inputs = {"images": np.zeros(count)}
        await streams.run(model, inputs, ["y"], Statistics(), priority=priority)  # type: ignore[arg-type]
        ended.append(name)

    batch, live = GatedModel(), GatedModel()
    live.gate.set()
    asking = [
        asyncio.create_task(ask("batch", batch, 50, Priority.BATCH)),
        asyncio.create_task(ask("batch", batch, 50, Priority.BATCH)),
    ]
    for _ in range(3):
        await asyncio.to_thread(batch.has_begun.acquire)
    asking.append(asyncio.create_task(ask("live", live, 1, Priority.LIVE)))
    await asyncio.sleep(0)
    batch.gate.set()
    await asyncio.gather(*asking)
    assert ended == ["live", "batch", "batch"]


async def test_batches_do_not_use_up_the_room_of_live_requests(streams: Streams) -> None:
    model = GatedModel()

    def ask(priority: Priority) -> asyncio.Task[object]:
        inputs = {"images": np.zeros(1)}
        return asyncio.create_task(
            streams.run(model, inputs, ["y"], Statistics(), priority=priority)  # type: ignore[arg-type]
        )

    waiting = [ask(priority) for priority in [Priority.BATCH] * 4 + [Priority.LIVE] * 4]
    await asyncio.sleep(0)
    for priority in Priority:
        with pytest.raises(Unavailable) as caught:
            await ask(priority)
        assert caught.value.retry_after_s is not None
    model.gate.set()
    await asyncio.gather(*waiting)


async def test_a_frame_that_fails_fails_its_request_only(
    streams: Streams, brightness: Model
) -> None:
    broken = {"images": np.ones((4, 2, 2, 1), np.uint8), "peak_threshold": np.ones((4, 1), "f8")}
    with pytest.raises(InvalidArgument, match="cannot work on these inputs"):
        await streams.run(brightness, broken, ["thresholds"], Statistics())
    good = {"images": np.ones((4, 2, 2, 1), np.uint8)}
    outputs = await streams.run(brightness, good, ["instance_scores"], Statistics())
    assert outputs["instance_scores"].tolist() == [[4]] * 4

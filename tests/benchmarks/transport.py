"""What it costs to ask an engine: `python -m tests.benchmarks.transport`.

From "the frame is in the ring" to "the result is in the client", for frames of 1024 × 1024 px and a
model that looks at a corner of them, minus the time of the same model in this process. The engines
are the embedded one and, where `make setup-triton` was run, Triton; both are processes of their
own, asked by `InferenceClient` with one request at a time. Frames inside requests, instead of in
shared memory, are measured beside.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from onnx import helper

from shoal_common.inference.chain import Chain, ChainStep
from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.priority import Priority
from shoal_common.shm import FrameRing
from shoal_engine.graph import Stopper, Threads
from shoal_engine.models import Model
from shoal_serving.triton_repository import TritonLimits, TritonRepository
from tests.fakes import onnx_models
from tests.fakes.engine_process import free_address, running_engine
from tests.fakes.onnx_models import FLOAT, UINT8
from tests.processes import wait_until_alive

SHAPE = (1, 1024, 1024, 1)
WARM_UP = 50
SECONDS = 60.0
TRITON = Path(__file__).resolve().parents[2] / ".venv-triton"


def write_corner(folder: Path) -> None:
    """Writes a version that adds up the 8 × 8 pixels in the corner of each frame."""
    folder.mkdir(parents=True)
    graph = onnx_models.graph(
        [
            helper.make_node("Slice", ["images", "start", "stop", "axes"], ["corner"]),
            helper.make_node("Cast", ["corner"], ["pixels"], to=FLOAT),
            helper.make_node("ReduceSum", ["pixels", "all"], ["sums"], keepdims=0),
            helper.make_node("Unsqueeze", ["sums", "last"], ["instance_scores"]),
        ],
        {"images": (UINT8, ["B", "H", "W", "C"])},
        {"instance_scores": (FLOAT, ["B", 1])},
        {
            "start": np.array([0, 0], np.int64),
            "stop": np.array([8, 8], np.int64),
            "axes": np.array([1, 2], np.int64),
            "all": np.array([1, 2, 3], np.int64),
            "last": np.array([1], np.int64),
        },
    )
    (folder / "model.onnx").write_bytes(graph)
    step = ChainStep(
        "corner", "model.onnx", "body", {"images": "images"}, {"instance_scores": "instance_scores"}
    )
    chain = Chain(inputs=("images",), outputs=("instance_scores",), steps=(step,))
    (folder / "chain.json").write_text(chain.to_json())
    (folder / "contract.json").write_text(onnx_models.contract().to_json())


def bare_ms(version: Path, frames: np.ndarray, count: int) -> float:
    """Returns the median time of the model in this process."""
    model = Model.load(version, "corner", 1, threads=Threads(1, 1), processor="")
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        model.run({"images": frames}, ["instance_scores"], wide=False, stopper=Stopper())
        times.append((time.perf_counter() - begun) * 1000)
    return float(np.median(times))


async def asked_ms(target: str, model: str, count: int, *, in_ring: bool) -> np.ndarray:
    """Returns the time of each of some requests."""
    client = InferenceClient(target)
    ring = FrameRing.create(slot_count=1, slot_bytes=int(np.prod(SHAPE)))
    slots = ring.acquire(1)
    shared = SharedFrames(ring, slots, SHAPE)
    shared.pixels_BHWC[:] = 7
    frames = shared if in_ring else shared.pixels_BHWC.copy()
    times = []
    try:
        for _ in range(WARM_UP + count):
            begun = time.perf_counter()
            answer = await client.infer(
                model, "1", {"images": frames}, timeout_s=SECONDS, priority=Priority.LIVE
            )
            times.append((time.perf_counter() - begun) * 1000)
            assert answer["instance_scores"][0, 0] == 7 * 64
        await client.forget(ring)
    finally:
        ring.close()
        await client.aclose()
    return np.array(times[WARM_UP:])


@contextmanager
def running_triton(repository: Path) -> Iterator[str]:
    """Runs Triton until the end of the block; gives its target."""
    target = free_address()
    settings = (f"listen={target}", f"model_repository={repository}", f"environment={TRITON}")
    command = [sys.executable, "-m", "shoal_triton", "--lifeline"]
    command += [word for setting in settings for word in ("--set", setting)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_until_alive(process, target)
        yield target
        assert process.stdin is not None
        process.stdin.close()


async def load(target: str, model: str, version: str | None) -> None:
    """Loads a model."""
    client = InferenceClient(target)
    await client.load_model(model, version)
    await client.aclose()


def report(engine: str, target: str, model: str, count: int, bare: float) -> None:
    """Prints a row a way for the frames."""
    for in_ring, way in ((True, "ring"), (False, "in the request")):
        times = asyncio.run(asked_ms(target, model, count, in_ring=in_ring)) - bare
        median, p99 = np.percentile(times, (50, 99))
        print(f"| {engine} | {way} | {median:.2f} | {p99:.2f} |", flush=True)


def main() -> None:
    """Measures both engines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    count: int = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as parent:
        folder = Path(parent)
        version = folder / "repository" / "corner" / "1"
        write_corner(version)
        bare = bare_ms(version, np.full(SHAPE, 7, np.uint8), count)
        print(f"bare forward pass {bare:.3f} ms")
        print("| engine | frame | p50, ms | p99, ms |\n|---|---|---|---|")
        target = f"unix:{folder}/engine"
        with running_engine(target, folder / "repository"):
            asyncio.run(load(target, "corner", "1"))
            report("embedded, Unix socket", target, "corner", count, bare)
        if not (TRITON / ".ready").is_file():
            print("| Triton | not installed: `make setup-triton` | - | - |")
            return
        TritonRepository(folder / "triton", TritonLimits(1)).add("corner@1", version)
        with running_triton(folder / "triton") as target:
            asyncio.run(load(target, "corner@1", None))
            report("Triton, loopback", target, "corner@1", count, bare)


if __name__ == "__main__":
    main()

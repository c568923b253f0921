"""Latency of live frames beside two batch jobs, with and without their priority.

`python -m tests.benchmarks.live_latency` starts one engine. A live client asks for one frame after
the other; two batch clients keep three requests of 16 frames each with the engine, as workers do.
Rows: nothing else to do; live frames as one more batch client; live frames as live.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.client import InferenceClient
from shoal_common.inference.priority import Priority
from shoal_media.readers import open_video
from shoal_serving.importing import import_model
from tests.fakes.engine_process import running_engine

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MODEL = "minimal_instance.UNet.bottomup"
VIDEO = "pair/centered_pair_small.mp4"
BATCH_CLIENTS = 2
REQUESTS_EACH = 3
BATCH_SIZE = 16
_SECONDS = 300.0


async def live(
    target: str, frames: NDArray[np.uint8], count: int, priority: Priority
) -> list[float]:
    """Returns the milliseconds from request to answer of each frame."""
    client = InferenceClient(target)
    times_ms = []
    for index in range(count):
        frame = frames[index % len(frames)][None]
        begun = time.perf_counter()
        await client.infer("m", "1", {"images": frame}, timeout_s=_SECONDS, priority=priority)
        times_ms.append((time.perf_counter() - begun) * 1000)
    await client.aclose()
    return times_ms


async def batch(target: str, frames: NDArray[np.uint8], done: list[int]) -> None:
    """Keeps the engine busy until it is cancelled; counts frames in `done`."""
    client = InferenceClient(target)

    async def one() -> None:
        while True:
            await client.infer("m", "1", {"images": frames}, timeout_s=_SECONDS)
            done[0] += len(frames)

    try:
        await asyncio.gather(*(one() for _ in range(REQUESTS_EACH)))
    finally:
        await client.aclose()


async def measure(target: str, frames: NDArray[np.uint8], count: int) -> list[str]:
    """Returns the rows."""
    client = InferenceClient(target)
    await client.load_model("m")
    await client.aclose()
    rows = [_row("alone", await live(target, frames, count, Priority.LIVE), None)]
    for name, priority in (("as batch", Priority.BATCH), ("as live", Priority.LIVE)):
        done = [0]
        beside = [asyncio.create_task(batch(target, frames, done)) for _ in range(BATCH_CLIENTS)]
        await live(target, frames, 2, priority)  # until the queues are full
        done[0], begun = 0, time.perf_counter()
        times_ms = await live(target, frames, count, priority)
        rate = done[0] / (time.perf_counter() - begun)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        rows.append(_row(f"beside {BATCH_CLIENTS} batch clients, {name}", times_ms, rate))
    return rows


def _row(name: str, times_ms: list[float], rate: float | None) -> str:
    p50, p99 = np.percentile(times_ms, [50, 99])
    others = "" if rate is None else f"; batch {rate:.1f} frames/s"
    return f"{name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {max(times_ms):.0f} ms{others}"


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20, help="live frames of each row")
    arguments = parser.parse_args()
    with open_video(DATA / VIDEO) as reader:
        frames = np.stack(list(reader.frames(0, BATCH_SIZE)))
    with tempfile.TemporaryDirectory(prefix="shoal-live-") as folder:
        repository = Path(folder) / "models"
        import_model([DATA / "models" / MODEL], repository / "m" / "1")
        target = f"unix:{folder}/engine"
        with running_engine(target, repository):
            rows = asyncio.run(measure(target, frames, arguments.frames))
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

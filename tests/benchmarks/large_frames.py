"""Throughput and memory by frame size, animals and batch: `make bench-large`.

Models of the paper's size (see `paper_models`) on an engine of their own for each row: frames lie
in shared memory, one request is with the engine at a time. Latency is that of single live frames;
memory is the most that the engine's process had in RAM, less what it had without a model.
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoal_common.inference.client import InferenceClient, SharedFrames
from shoal_common.inference.priority import Priority
from shoal_common.shm import FrameRing
from tests.benchmarks.machine_peak import cpu_name
from tests.benchmarks.paper_models import KINDS, spots, write_paper_model
from tests.fakes.engine_process import running_engine

SECONDS = 300.0
SIZES = (512, 1024, 2048)
ANIMALS = (1, 2, 4, 8, 16)
BATCHES = (1, 4, 16)
SIDE, COUNT, BATCH = 1024, 2, 4
"""Of what does not change."""


@dataclass(frozen=True)
class Row:
    """What is measured at once."""

    kind: str
    side_px: int = SIDE
    animals: int = COUNT
    batch: int = BATCH

    async def measure(self, target: str, frame_count: int) -> tuple[float, float]:
        """Returns frames a second, and the median latency of a live frame in milliseconds."""
        frame, centres = spots(self.side_px, self.animals)
        ring = FrameRing.create(slot_count=self.batch, slot_bytes=frame.size)
        client = InferenceClient(target)
        try:
            await client.load_model("m")
            slots = ring.acquire(self.batch)
            batch = SharedFrames(ring, slots, (self.batch, *frame.shape))
            batch.pixels_BHWC[:] = frame
            inputs = {"images": batch}
            single = {"images": frame[None]}
            if self.kind == "centered_instance":
                inputs["centroids"] = np.tile(centres, (self.batch, 1, 1))
                single["centroids"] = centres[None]
            answer = await client.infer("m", "1", inputs, timeout_s=SECONDS)  # lays out memory
            self._check(answer)
            begun, done = time.perf_counter(), 0
            while done < frame_count:
                await client.infer("m", "1", inputs, timeout_s=SECONDS)
                done += self.batch
            rate = done / (time.perf_counter() - begun)
            times = []
            for _ in range(max(5, frame_count // 4)):
                begun = time.perf_counter()
                await client.infer("m", "1", single, timeout_s=SECONDS, priority=Priority.LIVE)
                times.append((time.perf_counter() - begun) * 1000)
            await client.forget(ring)
        finally:
            ring.close()
            await client.aclose()
        return rate, float(np.median(times))

    def _check(self, answer: dict[str, np.ndarray]) -> None:
        """Stops unless as many animals were found as were drawn."""
        counts = "peak_counts" if self.kind == "bottomup" else "instance_counts"
        found = answer[counts][0]
        assert (found == self.animals).all(), found


def memory_mib(process: "subprocess.Popen[bytes]", field: str) -> float:
    """Returns a field of a process's status: VmRSS, or VmHWM, the most that this ever was."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def run(row: Row, folder: Path, frame_count: int) -> None:
    """Prints a row."""
    target = f"unix:{folder}/engine"
    with running_engine(target, folder / row.kind) as process:
        idle = memory_mib(process, "VmRSS")
        rate, latency_ms = asyncio.run(row.measure(target, frame_count))
        peak = memory_mib(process, "VmHWM") - idle
    print(
        f"| {row.kind} | {row.side_px} | {row.animals} | {row.batch} | {rate:.2f} | "
        f"{latency_ms:.0f} | {peak:.0f} |",
        flush=True,
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--frames", type=int, default=32, help="frames that each rate is measured on"
    )
    frame_count: int = parser.parse_args().frames
    rows = [Row(kind) for kind in KINDS]
    for kind in ("topdown", "bottomup"):
        rows += [Row(kind, side_px=side) for side in SIZES if side != SIDE]
        rows += [Row(kind, animals=animals) for animals in ANIMALS if animals != COUNT]
        rows += [Row(kind, batch=batch) for batch in BATCHES if batch != BATCH]
    print(cpu_name())
    print("| model | side, px | animals | batch | frames/s | live frame, ms | memory, MiB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as parent:
        folder = Path(parent)
        for kind in KINDS:
            write_paper_model(folder / kind / "m" / "1", kind)
        for row in rows:
            run(row, folder, frame_count)


if __name__ == "__main__":
    main()

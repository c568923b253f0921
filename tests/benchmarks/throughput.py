"""Steady-state throughput of a whole job against the bare ONNX Runtime forward pass, and memory.

`make bench` runs it and prints rows for RESULTS.md. Bare: the networks alone, ONNX Runtime with
its defaults on all cores, batch 16, best of five; for a top-down model the centroid network on the
frame and the second network on as many crops as the job found. Shoal: every service as its own
process, from the video file to committed poses; frames a second between the first progress and the
last inferred frame. The two alternate in one run.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort
import psutil

from shoal_client import InferenceParameters, Shoal, Targets
from shoal_common.inference.chain import CHAIN_FILE, Chain
from shoal_serving.importing import import_model
from tests.processes import running_service, target

SERVICES = ("decode", "engine", "serving", "labels", "orchestrator", "worker")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MODELS = {
    "bottom-up": ["minimal_instance.UNet.bottomup"],
    "top-down": ["minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance"],
}
BATCH_SIZE = 16
PASS_COUNT = 5


@dataclass
class Run:
    """One job: its rate, what it found, and resident memory (MiB) early and late."""

    frames_per_second: float
    instances_per_frame: float
    early_mib: dict[str, float] = field(default_factory=dict)
    late_mib: dict[str, float] = field(default_factory=dict)


def bare_seconds(body: Path, side_px: int) -> float:
    """Returns seconds per image of the fastest of five passes of a network."""
    session = ort.InferenceSession(body, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    images = np.random.default_rng(0).random((BATCH_SIZE, 1, side_px, side_px), np.float32)
    session.run(None, {name: images})
    best = float("inf")
    for _ in range(PASS_COUNT):
        begun = time.perf_counter()
        session.run(None, {name: images})
        best = min(best, time.perf_counter() - begun)
    return best / BATCH_SIZE


def bare_rate(folders: Sequence[Path], side_px: int, instances_per_frame: float) -> float:
    """Returns frames a second of the networks alone."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "1"
        contract = import_model(folders, folder)
        bodies = [
            folder / step.file
            for step in Chain.from_json((folder / CHAIN_FILE).read_text()).steps
            if step.kind == "body"
        ]
        seconds = bare_seconds(bodies[0], side_px)
        for body in bodies[1:]:
            assert contract.crop_size_px is not None
            seconds += instances_per_frame * bare_seconds(body, contract.crop_size_px)
    return 1 / seconds


def resident_mib(pids: dict[str, int]) -> dict[str, float]:
    """Returns the resident memory of each service."""
    return {name: psutil.Process(pid).memory_info().rss / 2**20 for name, pid in pids.items()}


def job(shoal: Shoal, pids: dict[str, int], model: str, video: Path, number: int) -> Run:
    """Runs one job; `number` makes it a new one."""
    # A threshold that differs in the sixth digit is another job with the same work.
    inference = InferenceParameters(peak_threshold=0.2 + number * 1e-6)
    created = shoal.jobs.create_track(str(video), model, inference=inference)
    first: tuple[float, int] | None = None
    last = (0.0, 0)
    early: dict[str, float] = {}
    for state in shoal.jobs.watch(created.name):
        done, total = state.progress.inferred_frame_count, state.progress.total_frame_count
        if done > last[1]:
            last = (time.perf_counter(), done)
            first = first or last
        if not early and done >= total // 4:
            early = resident_mib(pids)
    if state.error is not None or first is None:
        sys.exit(f"the job failed: {state.error}")
    rate = (last[1] - first[1]) / (last[0] - first[0])
    per_frame = state.progress.instance_count / total
    return Run(rate, per_frame, early, resident_mib(pids))


def measure(kind: str, video: Path, repeat_count: int) -> None:
    """Prints one row for a model."""
    folders = [DATA / "models" / name for name in MODELS[kind]]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-")))
        pids = {
            name: stack.enter_context(
                running_service(Path(sys.executable), name, folder / "home", folder)
            )
            for name in SERVICES
        }
        targets = {n: target(folder, n) for n in ("decode", "serving", "labels", "orchestrator")}
        shoal = stack.enter_context(Shoal.connect(Targets(**targets)))
        model = shoal.models.import_([str(path) for path in folders], name="bench").name
        side_px = shoal.videos.probe(str(video)).width_px
        job(shoal, pids, model, video, 0)  # warms up
        runs, bare = [], []
        for number in range(1, repeat_count + 1):
            runs.append(job(shoal, pids, model, video, number))
            bare.append(bare_rate(folders, side_px, runs[-1].instances_per_frame))
    report(kind, runs, bare)


def report(kind: str, runs: Sequence[Run], bare: Sequence[float]) -> None:
    """Prints medians and ratios."""
    rates = [run.frames_per_second for run in runs]
    ratios = [rate / max(bare) for rate in rates]
    print(
        f"{kind}: Shoal {statistics.median(rates):.1f} frames/s, bare {max(bare):.1f} frames/s, "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"{runs[-1].instances_per_frame:.2f} instances/frame"
    )
    for name in runs[0].early_mib:
        trace = [f"{runs[0].early_mib[name]:.0f}", *(f"{run.late_mib[name]:.0f}" for run in runs)]
        print(f"  {name}: {' → '.join(trace)} MiB (a quarter into the first run, then run ends)")


def main() -> None:
    """Measures every model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, default=DATA / "pair" / "centered_pair_small.mp4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", choices=MODELS, action="append")
    arguments = parser.parse_args()
    print(f"ONNX Runtime {ort.__version__}, {psutil.cpu_count()} cores, batch {BATCH_SIZE}")
    for kind in arguments.kind or MODELS:
        measure(kind, arguments.video.resolve(), arguments.repeats)


if __name__ == "__main__":
    main()

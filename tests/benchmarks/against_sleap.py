"""Shoal against sleap-nn, on the same weights, frames and cores: `make bench-sleap`.

Every figure is the time of a whole command, from the video file to the saved `.slp`, as a user
types it: `sleap-nn predict` on the trained checkpoint (torch) or on its own export (ONNX Runtime),
and `shoal track`, which starts its ensemble and ends it. The commands take turns; medians of the
repeats. Steady state is what further frames cost: (LONG − SHORT frames) / (difference of the
times), so that nobody's start counts. The peer gets the batch size that it is fastest with.

Nobody tracks identities. Shoal's model is registered before, like the peer's export is made
before, and measured as it was imported and after `shoal models tune` on the video.

Axis legend: I J instances, N nodes, M matches.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from shoal_common.inference.chain import CONTRACT_FILE
from shoal_common.inference.contract import PoseContract
from shoal_core.assignment import optimal_pairs
from shoal_core.pose import FramePoses
from shoal_media.labels_file import read_labels
from tests.benchmarks.flops import network_flops
from tests.benchmarks.machine_peak import cpu_name, peak_flops

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PEER = ROOT / ".venv-sleap" / "bin" / "sleap-nn"
SHOAL = Path(sys.executable).parent / "shoal"
MODELS = {
    "bottom-up": ["minimal_instance_bottomup"],
    "top-down": ["minimal_instance_centroid", "minimal_instance_centered_instance"],
}
SHORT, MIDDLE, LONG = 100, 256, 1100
BATCHES = (1, 4, 16)
PEAK_THRESHOLD = 0.2
"""Of all contenders; the default of sleap-nn and of these models."""


@dataclass
class Contender:
    """One way of tracking a video."""

    title: str
    """Who, with which engine, in which precision."""
    command: Callable[[int, int, Path], list[str]]
    """Of the number of the repeat, that of frames, and the file to write."""
    seconds: dict[int, list[float]] = field(default_factory=dict)
    """Times of the whole command by the number of frames."""

    def run(
        self, repeat: int, frame_count: int, output: Path, environment: dict[str, str]
    ) -> float:
        """Returns the time of one command, and remembers it."""
        command = self.command(repeat, frame_count, output)
        begun = time.perf_counter()
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - begun
        if ended.returncode != 0 or not output.is_file():
            sys.exit(f"{' '.join(command)} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
        self.seconds.setdefault(frame_count, []).append(seconds)
        return seconds

    def steady(self, short: int, long: int) -> list[float]:
        """Returns frames a second of each repeat."""
        pairs = zip(self.seconds[short], self.seconds[long], strict=True)
        return [(long - short) / (late - early) for early, late in pairs]


def peer(title: str, folders: Sequence[Path], video: Path, batch: int, *more: str) -> Contender:
    """Returns sleap-nn with a batch size."""
    models = [word for folder in folders for word in ("-m", str(folder))]

    def command(repeat: int, frame_count: int, output: Path) -> list[str]:
        return [
            *(str(PEER), "predict", "-i", str(video), *models, "-o", str(output)),
            *("--device", "cpu", "--batch_size", str(batch)),
            *("--frames", f"0-{frame_count - 1}", *more),
        ]

    return Contender(f"{title}, batch {batch}", command)


def fastest_peer(make: Callable[[int], Contender], count: int, folder: Path) -> Contender:
    """Returns the peer with the batch size that takes the least time for some frames."""
    environment = dict(os.environ)
    contenders = [make(batch) for batch in BATCHES]
    times = [one.run(0, count, folder / "warm.slp", environment) for one in contenders]
    best = contenders[times.index(min(times))]
    best.seconds.clear()
    return best


def shoal(title: str, model: str, video: Path) -> Contender:
    """Returns `shoal track` with a registered model."""

    def command(repeat: int, frame_count: int, output: Path) -> list[str]:
        return [
            *(str(SHOAL), "track", str(video), "-m", model, "-o", str(output)),
            *("--tracker", "none", "--frames", f"0-{frame_count - 1}"),
            # Shoal does not do again what it has done: each repeat is another job, same work.
            *("--peak-threshold", f"{PEAK_THRESHOLD + repeat * 1e-6:.6f}"),
        ]

    return Contender(title, command)


def compared(left: Path, right: Path) -> str:
    """Returns how many instances two files hold, and how far matched nodes are apart."""
    frames = [
        {
            poses.frame_index: poses
            for poses in read_labels(path, prefer="predicted").videos[0].frames
        }
        for path in (left, right)
    ]
    distances = [
        _distances(frames[0][index], frames[1][index]) for index in set(frames[0]) & set(frames[1])
    ]
    px = np.concatenate([*distances, np.empty(0)])
    counts = [sum(poses.instance_count for poses in one.values()) for one in frames]
    return (
        f"{counts[0]} and {counts[1]} instances, {len(px)} nodes matched, "
        f"{np.median(px):.3f} px apart in the median"
    )


def _distances(left: FramePoses, right: FramePoses) -> np.ndarray:
    apart_IJN = np.linalg.norm(left.points_px_IN2[:, None] - right.points_px_IN2[None], axis=3)
    count_IJ = np.isfinite(apart_IJN).sum(axis=2)
    mean_IJ = np.nansum(apart_IJN, axis=2) / np.maximum(count_IJ, 1)
    rows_M, columns_M = optimal_pairs(np.where(count_IJ > 0, 1 / (1 + mean_IJ), 0))
    matched = apart_IJN[rows_M, columns_M]
    return np.asarray(matched[np.isfinite(matched)])


def tool(arguments: Sequence[str], environment: dict[str, str]) -> str:
    """Returns what a command prints."""
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed:\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def contenders_of(
    folders: Sequence[Path], video: Path, folder: Path, environment: dict[str, str], count: int
) -> list[Contender]:
    """Returns the peer with both of its runtimes, and Shoal as imported and tuned."""
    export = folder / "export"
    paths = [str(path) for path in folders]
    tool([str(PEER), "export", *paths, "-o", str(export), "--format", "onnx"], environment)
    tool([str(SHOAL), "models", "import", *paths, "--name", "plain"], environment)
    tool([str(SHOAL), "models", "import", *paths, "--name", "tuned"], environment)
    choice = tool([str(SHOAL), "models", "tune", "tuned", str(video)], environment)
    print(choice)
    chosen = next(line for line in choice.splitlines() if "runs " in line).strip()
    return [
        fastest_peer(lambda batch: peer("sleap-nn, torch, fp32", folders, video, batch),
                     count, folder),
        fastest_peer(lambda batch: peer("sleap-nn, its ONNX Runtime, fp32", [export], video, batch,
                                        "--runtime", "onnx"), count, folder),
        shoal("Shoal, as imported: winograd-fp32", "plain", video),
        shoal(f"Shoal, tuned: {chosen.partition(' (')[0].removeprefix('runs ')}", "tuned", video),
    ]  # fmt: skip


def gflops_per_frame(home: Path, side_px: int, instances_per_frame: float) -> float:
    """Returns the operations of all networks for one frame, in 10⁹."""
    folder = home / "models" / "repository" / "plain" / "1"
    flops = 0.0
    for body in ("bottomup", "centroid"):
        if (folder / f"{body}.onnx").is_file():
            flops += network_flops(folder / f"{body}.onnx", (1, 1, side_px, side_px))
    if (crops := folder / "centered_instance.onnx").is_file():
        crop_px = PoseContract.from_json((folder / CONTRACT_FILE).read_text()).crop_size_px
        assert crop_px is not None
        flops += instances_per_frame * network_flops(crops, (1, 1, crop_px, crop_px))
    return flops / 1e9


def measure(kind: str, video: Path, repeat_count: int, counts: tuple[int, int, int]) -> None:
    """Prints the rows of one kind of model."""
    short, middle, long = counts
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as parent:
        folder = Path(parent)
        environment = {**os.environ, "SHOAL_HOME": str(folder / "home")}
        folders = [DATA / "models_torch" / name for name in MODELS[kind]]
        contenders = contenders_of(folders, video, folder, environment, short)
        outputs: dict[str, Path] = {}
        for repeat in range(repeat_count):
            for count in counts:
                for number, one in enumerate(contenders):
                    output = folder / f"{number}-{count}-{repeat}.slp"
                    seconds = one.run(repeat, count, output, environment)
                    outputs[one.title] = output
                    print(f"  {one.title}: {count} frames in {seconds:.1f} s", flush=True)
        report(kind, contenders, (short, middle, long))
        torch_output, *_, tuned_output = (outputs[one.title] for one in contenders)
        plain_output = outputs[contenders[2].title]
        for title, output in (("as imported", plain_output), ("tuned", tuned_output)):
            print(f"  {title} beside sleap-nn's torch: {compared(output, torch_output)}")
        found = sum(
            p.instance_count for p in read_labels(plain_output, prefer="predicted").videos[0].frames
        )
        work = gflops_per_frame(folder / "home", 384, found / long)
        rate = statistics.median(contenders[-1].steady(short, long))
        for precision in (torch.float32, torch.bfloat16):
            peak = peak_flops(precision) / 1e9
            print(
                f"  {work:.2f} GFLOP a frame; tuned: {work * rate:.0f} GFLOP/s, "
                f"{work * rate / peak:.2f} of the {precision} peak of {peak:.0f}"
            )


def report(kind: str, contenders: Sequence[Contender], counts: tuple[int, int, int]) -> None:
    """Prints medians and ratios."""
    short, middle, long = counts
    print(
        f"\n{kind}: | engine, precision | steady, frames/s | range | {middle} frames, s | range |"
    )
    for one in contenders:
        rates, whole = one.steady(short, long), one.seconds[middle]
        print(
            f"| {one.title} | {statistics.median(rates):.1f} | {min(rates):.1f} to "
            f"{max(rates):.1f} | {statistics.median(whole):.1f} | {min(whole):.1f} to "
            f"{max(whole):.1f} |"
        )
    for own in contenders[2:]:
        for other in contenders[:2]:
            steady = statistics.median(own.steady(short, long)) / statistics.median(
                other.steady(short, long)
            )
            whole = statistics.median(other.seconds[middle]) / statistics.median(
                own.seconds[middle]
            )
            print(f"  {own.title} / {other.title}: steady {steady:.2f}, whole {whole:.2f}")


def main() -> None:
    """Measures every kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, default=DATA / "pair" / "centered_pair_small.mp4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", choices=MODELS, action="append")
    parser.add_argument("--frames", type=int, nargs=3, default=(SHORT, MIDDLE, LONG))
    arguments = parser.parse_args()
    if not PEER.is_file():
        sys.exit("sleap-nn is not installed; run `make setup-sleap` first")
    print(f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores")
    for kind in arguments.kind or MODELS:
        measure(kind, arguments.video.resolve(), arguments.repeats, tuple(arguments.frames))


if __name__ == "__main__":
    main()

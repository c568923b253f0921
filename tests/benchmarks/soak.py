"""Memory of every process over a very long video.

`make soak` repeats a real recording, without encoding it anew, until it has 100,000 frames, tracks
it with `shoal track`, and samples the memory of the command, its supervisor and every service. What
is measured is memory, so the recording and the model are the fastest ones. Flat: from a tenth of a
process's life on, its memory stays within 10 % of what it was then.

Memory is what is resident and not shared: the ring of frames, which worker and engine share, comes
and goes with every segment; its greatest size is printed beside.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import av
import psutil

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLE_SECONDS = 2.0
LEAST_SAMPLE_COUNT = 20
"""Children of a moment, such as a conversion, have no memory to grow."""
WARM_FRACTION = 0.1
ALLOWED_GROWTH = 0.1


@dataclass
class Trace:
    """Memory of one process over its life, in MiB."""

    name: str
    own_mib: list[float] = field(default_factory=list)
    """Resident and not shared."""
    shared_mib: list[float] = field(default_factory=list)
    """Resident and shared: libraries' files, and the ring of frames."""

    @property
    def warm(self) -> list[float]:
        """The samples from a tenth of its life on."""
        return self.own_mib[int(len(self.own_mib) * WARM_FRACTION) :]

    @property
    def growth(self) -> float:
        """Greatest distance from the first warm sample, as a fraction of it."""
        first = self.warm[0]
        return max(abs(sample - first) for sample in self.warm) / first

    def __str__(self) -> str:
        warm = self.warm
        spread = f"{warm[0]:7.0f} → {warm[-1]:7.0f} MiB ({min(warm):.0f} to {max(warm):.0f})"
        shared = f"{max(self.shared_mib):.0f} MiB shared at most"
        return f"{self.name:14} {spread}, {self.growth:.1%}, {len(warm)} samples, {shared}"


def repeat_video(source: Path, output: Path, frame_count: int) -> int:
    """Writes the packets of a video again and again; returns how many frames that makes."""
    written, offset = 0, 0
    with av.open(str(output), "w") as target:
        stream = None
        while written < frame_count:
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                end = 0
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = stream
                    target.mux(packet)
                    written += 1
                offset = end
    return written


def watch(command: list[str]) -> dict[int, Trace]:
    """Runs a command to its end; returns the memory of all its processes by process id."""
    traces: dict[int, Trace] = {}
    with subprocess.Popen(command) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            for member in (root, *root.children(recursive=True)):
                try:
                    trace = traces.setdefault(member.pid, Trace(_name(member)))
                    memory = member.memory_info()
                    trace.own_mib.append((memory.rss - memory.shared) / 2**20)
                    trace.shared_mib.append(memory.shared / 2**20)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"the command ended with status {process.returncode}")
    return traces


def _name(process: psutil.Process) -> str:
    modules = [word for word in process.cmdline()[:5] if word.startswith("shoal_")]
    return modules[0].removeprefix("shoal_").removeprefix("cli.ensemble.") if modules else "command"


def report(traces: dict[int, Trace]) -> bool:
    """Prints a line per process that lived long enough to tell; returns whether all are flat."""
    by_name = defaultdict(list)
    for trace in traces.values():
        by_name[trace.name].append(trace)
    flat = True
    for _, members in sorted(by_name.items()):
        for trace in members:
            if len(trace.own_mib) < LEAST_SAMPLE_COUNT:
                continue
            print(trace)
            flat &= trace.growth <= ALLOWED_GROWTH
    return flat


def main() -> int:
    """Prints the memory of every process; returns 1 if one is not flat."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--video", type=Path, default=DATA / "robot" / "small_robot.mp4")
    model = DATA / "models" / "minimal_robot.UNet.single_instance"
    parser.add_argument("--model", type=Path, action="append", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-soak-") as folder:
        video = Path(folder) / "long.mp4"
        count = repeat_video(arguments.video, video, arguments.frames)
        print(f"{count} frames, {video.stat().st_size >> 20} MiB", flush=True)
        command = [str(Path(sys.executable).parent / "shoal"), "track", str(video)]
        for name in arguments.model or [model]:
            command += ["-m", str(name)]
        begun = time.monotonic()
        traces = watch([*command, "-o", f"{folder}/long.slp", "--tracker", "window"])
        print(f"{count / (time.monotonic() - begun):.1f} frames/s")
    return int(not report(traces))


if __name__ == "__main__":
    sys.exit(main())

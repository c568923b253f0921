"""Memory of every process over a very long video.

`make soak` repeats a real recording, without encoding it anew, until it has 100,000 frames, tracks
it with `shoal track`, and samples the memory of the command, its supervisor and every service. What
is measured is memory, so the recording and the model are the fastest ones. Flat: from a tenth of a
step of the command on (tracking, then linking), a process's memory stays within 10 % of what it was
then; what a step loads at its beginning, SciPy for instance, shows between the lines.

Memory is what is resident and not shared: the ring of frames, which worker and engine share, comes
and goes with every segment; its greatest size is printed beside.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import av
import psutil

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLE_SECONDS = 1.0
STEPS = ("tracking", "linking")
"""Steps of the command that go through all frames."""
LEAST_SAMPLE_COUNT = 5
"""Children of a moment, such as an export, have no memory to grow."""
WARM_FRACTION = 0.1
ALLOWED_GROWTH = 0.1


@dataclass
class Trace:
    """Memory of one process over one step of the command, in MiB."""

    name: str
    step: str
    own_mib: list[float] = field(default_factory=list)
    """Resident and not shared."""
    shared_mib: list[float] = field(default_factory=list)
    """Resident and shared: libraries' files, and the ring of frames."""

    @property
    def warm(self) -> list[float]:
        """The samples from a tenth of the step on."""
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
        said = f"{spread}, {self.growth:.1%}, {len(warm)} samples, {shared}"
        return f"{self.step:9} {self.name:13} {said}"


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


class Steps:
    """Follows what a command says on its standard error."""

    def __init__(self, said: IO[str]) -> None:
        self.current = ""
        self._said = said
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._said:
            print(line, end="", file=sys.stderr)
            self.current = line.partition(" ")[0].strip()


def watch(command: list[str]) -> list[Trace]:
    """Runs a command to its end; returns the memory of all its processes in every step."""
    traces: dict[tuple[str, int], Trace] = {}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        steps = Steps(process.stderr)
        root = psutil.Process(process.pid)
        while process.poll() is None:
            step = steps.current
            for member in (root, *root.children(recursive=True)):
                try:
                    new = Trace(_name(member), step)
                    trace = traces.setdefault((step, member.pid), new)
                    memory = member.memory_info()
                    trace.own_mib.append((memory.rss - memory.shared) / 2**20)
                    trace.shared_mib.append(memory.shared / 2**20)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"the command ended with status {process.returncode}")
    return list(traces.values())


def _name(process: psutil.Process) -> str:
    modules = [word for word in process.cmdline()[:5] if word.startswith("shoal_")]
    return modules[0].removeprefix("shoal_").removeprefix("cli.ensemble.") if modules else "command"


def report(traces: list[Trace]) -> bool:
    """Prints a line per step and process that lasted long enough; returns whether all are flat."""
    lasting = [trace for trace in traces if len(trace.own_mib) >= LEAST_SAMPLE_COUNT]
    told = [trace for step in STEPS for trace in lasting if trace.step == step]
    for trace in told:
        print(trace)
    return bool(told) and all(trace.growth <= ALLOWED_GROWTH for trace in told)


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

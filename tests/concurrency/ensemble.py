"""Every service as a process, and what each of them holds."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import tritonclient.grpc as triton

from shoal_client import Shoal, Targets
from tests.fakes.engine_process import running_engine
from tests.processes import running_service, target

OTHERS = ("decode", "serving", "labels", "orchestrator", "tracking")
WORKERS = ("worker", "second")
REGIONS = Path("/dev/shm")
_SPARE_DESCRIPTORS = 8

MODELS = {
    "pair-bottomup": ("minimal_instance.UNet.bottomup",),
    "pair-topdown": ("minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance"),
    "robot": ("minimal_robot.UNet.single_instance",),
    "flies-id": ("min_tracks_2node.UNet.bottomup_multiclass",),
}


@dataclass(frozen=True)
class Holding:
    """What a process has taken from the system."""

    memory_mib: float
    thread_count: int
    descriptor_count: int


class Ensemble:
    """A whole ensemble with two workers; its engine can be killed and started again."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._pids: dict[str, int] = {}
        self.start_engine()
        for name in (*OTHERS, *WORKERS):
            module = "worker" if name in WORKERS else name
            self._pids[name] = stack.enter_context(
                running_service(
                    Path(sys.executable), module, self.home, folder, listen=target(folder, name)
                )
            )

    @property
    def home(self) -> Path:
        """Folder of everything durable."""
        return self._folder / "home"

    @property
    def tracking_target(self) -> str:
        """Where live sessions are opened."""
        return target(self._folder, "tracking")

    def client(self, project: str) -> Shoal:
        """Returns a client whose jobs are its project's own."""
        names = ("decode", "serving", "labels", "orchestrator")
        targets = Targets(**{name: target(self._folder, name) for name in names})
        return self._stack.enter_context(Shoal.connect(targets, project=project))

    def start_engine(self) -> None:
        """Starts the engine, which must not run."""
        engine = self._stack.enter_context(
            running_engine(target(self._folder, "engine"), self.home / "models" / "repository")
        )
        self._engine = engine
        self._pids["engine"] = engine.pid

    def kill_engine(self) -> None:
        """Ends the engine as a crash does."""
        self._engine.kill()
        self._engine.wait()

    def holdings(self) -> dict[str, Holding]:
        """Returns what every process holds now."""
        return {name: _holding(psutil.Process(pid)) for name, pid in self._pids.items()}

    def asked(self, model: str) -> tuple[int, int, int]:
        """Returns the engine's requests for a model: answered, ended otherwise, frames computed."""
        with triton.InferenceServerClient(target(self._folder, "engine")) as client:
            (statistics,) = client.get_inference_statistics(model).model_stats
        counts = statistics.inference_stats
        return counts.success.count, counts.fail.count, statistics.inference_count

    def regions(self) -> list[str]:
        """Returns the shared memory of sessions and jobs: their files, and the engine's regions."""
        files = [
            path.name for pid in self._pids.values() for path in REGIONS.glob(f"shoal-{pid}-*")
        ]
        with triton.InferenceServerClient(target(self._folder, "engine")) as client:
            registered = client.get_system_shared_memory_status().regions
        return sorted([*files, *(f"registered: {name}" for name in registered)])


def _holding(process: psutil.Process) -> Holding:
    return Holding(
        memory_mib=process.memory_info().rss / 2**20,
        thread_count=process.num_threads(),
        descriptor_count=len(os.listdir(f"/proc/{process.pid}/fd")),
    )


def holding_lines(before: Mapping[str, Holding], after: Mapping[str, Holding]) -> list[str]:
    """Returns a line for each process: what it held before and after."""
    return [
        f"{name:13} {old.memory_mib:6.0f} -> {after[name].memory_mib:6.0f} MiB  "
        f"{old.thread_count:3} -> {after[name].thread_count:3} threads  "
        f"{old.descriptor_count:3} -> {after[name].descriptor_count:3} descriptors"
        for name, old in before.items()
    ]


def grown(before: Mapping[str, Holding], after: Mapping[str, Holding]) -> list[str]:
    """Returns which processes hold more descriptors than before, beyond a few of pools.

    Threads and memory of pools come with the first load and stay: those are judged by `stress`,
    which compares one round with the next.
    """
    return [
        f"{name}: {before[name].descriptor_count} descriptors became {now.descriptor_count}"
        for name, now in after.items()
        if now.descriptor_count > before[name].descriptor_count + _SPARE_DESCRIPTORS
    ]


async def settled_regions(ensemble: Ensemble) -> list[str]:
    """Returns the shared memory that is still there a while after everything has ended."""
    for _ in range(100):
        left = await asyncio.to_thread(ensemble.regions)
        if not left:
            break
        await asyncio.sleep(0.1)
    return left


@contextmanager
def running_ensemble(folder: Path, models_folder: Path) -> Iterator[Ensemble]:
    """Runs an ensemble with `MODELS` imported; every process must end well."""
    with ExitStack() as stack:
        ensemble = Ensemble(folder, stack)
        shoal = ensemble.client("default")
        for name, folders in MODELS.items():
            shoal.models.import_([str(models_folder / each) for each in folders], name=name)
        yield ensemble

"""Faults, one after another, each beside work of its own whose result is known."""

import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shoal_client import Shoal
from shoal_core.errors import ShoalError
from tests.faults.command import CommandBench
from tests.faults.ensemble import SupervisedEnsemble
from tests.faults.fault import VICTIMS, Fault, Kind, random_fault
from tests.faults.jobs import FRAMES, JOB_SECONDS, Outcome, run_job
from tests.faults.live import LiveClient

MODEL = "models/model"
_SETTLE_SECONDS = 20.0
_FAULTS_PER_ENSEMBLE = 20


@dataclass(frozen=True)
class Trial:
    """A fault and what became of the work beside it."""

    number: int
    fault: Fault
    complaint: str
    """Empty if all is well."""
    seconds: float


def run_campaign(
    data: Path, folder: Path, *, count: int, seed: int, victims: Sequence[str] = VICTIMS
) -> Iterator[Trial]:
    """Yields `count` trials; ensembles are renewed now and then, and leave nothing.

    Args:
        data: Folder of the real recordings.
        folder: An empty one, for homes and files.
        count: Number of faults.
        seed: Of the faults: the same seed gives the same ones.
        victims: Which may be disturbed.
    """
    random_source = random.Random(seed)
    faults = [random_fault(random_source, victims) for _ in range(count)]
    lasting = [fault for fault in faults if fault.setting == "ensemble"]
    passing = [fault for fault in faults if fault.setting == "command"]
    video = data / "pair" / "centered_pair_small.mp4"
    model = data / "models" / "minimal_instance.UNet.bottomup"
    for first in range(0, len(lasting), _FAULTS_PER_ENSEMBLE):
        home = Path(tempfile.mkdtemp(prefix=f"from-{first}-", dir=folder))
        # With two workers, one takes over what the other still believes to have.
        two_workers = bool(first // _FAULTS_PER_ENSEMBLE % 2)
        with SupervisedEnsemble(home, second_worker=two_workers) as ensemble:
            bench = _Bench(ensemble, video, model, home)
            for number, fault in enumerate(lasting[first : first + _FAULTS_PER_ENSEMBLE], first):
                yield _timed(number, fault, bench.run)
    if passing:
        command = CommandBench(video, model, Path(tempfile.mkdtemp(prefix="command-", dir=folder)))
    for number, fault in enumerate(passing, len(lasting)):
        yield _timed(number, fault, command.run)


def _timed(number: int, fault: Fault, run: Callable[[Fault], str]) -> Trial:
    begun = time.monotonic()
    try:
        complaint = run(fault)
    except (ShoalError, TimeoutError, AssertionError, ProcessLookupError) as error:
        complaint = f"{type(error).__name__}: {error}"
    return Trial(number, fault, complaint, time.monotonic() - begun)


class _Bench:
    """An ensemble and the undisturbed results of its job and its live session."""

    def __init__(
        self, ensemble: SupervisedEnsemble, video: Path, model: Path, folder: Path
    ) -> None:
        self._ensemble = ensemble
        self._video = video
        self._folder = folder / "exported"
        self._folder.mkdir()
        self._project_count = 0
        with Shoal.connect(ensemble.targets) as shoal:
            shoal.models.import_([str(model)], name=MODEL.removeprefix("models/"))
        self._live = LiveClient(video, MODEL)
        self._work()  # warms up
        begun = time.monotonic()
        self._undisturbed, self._undisturbed_live = self._work()
        self._undisturbed_seconds = time.monotonic() - begun
        assert self._undisturbed.frame_indices == tuple(FRAMES)

    def run(self, fault: Fault) -> str:
        """Runs a job and a live session beside a fault; returns what is wrong, if anything."""
        self._ensemble.wait_until_serving()
        with ThreadPoolExecutor(1) as disturber:
            disturbing = disturber.submit(self._disturb, fault)
            outcome, live = self._work()
        disturbing.result()  # a victim that was not replaced is a complaint as well
        if outcome.frame_indices != self._undisturbed.frame_indices:
            return f"frames lost or doubled: {outcome.frame_indices}"
        if outcome.digest != self._undisturbed.digest:
            return "the poses differ"
        if live != self._undisturbed_live:
            return "the poses of the live session differ"
        return self._unsettled()

    def _work(self) -> tuple[Outcome, str]:
        """Does the job and, beside it, the live session; returns what both came to."""
        self._project_count += 1
        project = f"project-{self._project_count}"  # one of its own makes a job of its own
        with (
            ThreadPoolExecutor(1) as live,
            Shoal.connect(self._ensemble.targets, project=project) as shoal,
        ):
            session = live.submit(self._live.run, self._ensemble.target("tracking"), JOB_SECONDS)
            outcome = run_job(shoal, self._video, MODEL, self._folder / f"{project}.slp")
            return outcome, session.result()

    def _disturb(self, fault: Fault) -> None:
        time.sleep(fault.moment * self._undisturbed_seconds)
        if fault.kind is Kind.PAUSE:
            before = self._ensemble.send(fault.victim, signal.SIGSTOP)
            time.sleep(fault.pause_seconds)
            if self._ensemble.state(fault.victim).pid == before.pid:
                self._ensemble.send(fault.victim, signal.SIGCONT)
            return
        number = signal.SIGKILL if fault.kind is Kind.KILL else signal.SIGSTOP
        self._ensemble.wait_until_replaced(self._ensemble.send(fault.victim, number))

    def _unsettled(self) -> str:
        """Returns what is still in shared memory or half written when all should be at rest."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while left := self._ensemble.leftovers() + self._half_written():
            if time.monotonic() > deadline:
                return f"left: {', '.join(left)}"
            time.sleep(0.1)
        return ""

    def _half_written(self) -> list[str]:
        return [path.name for path in self._folder.iterdir() if path.suffix != ".slp"]

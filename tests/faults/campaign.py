"""Faults, one after another, each beside a job of its own whose result is known."""

import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoal_client import Shoal
from shoal_core.errors import ShoalError
from tests.faults.ensemble import FaultyEnsemble
from tests.faults.fault import SERVICES, Fault, Kind, random_fault
from tests.faults.jobs import FRAMES, SEGMENT_FRAME_COUNT, Outcome, run_job

SETTINGS = {
    "orchestrator": ["lease_seconds=2", f"segment_frame_count={SEGMENT_FRAME_COUNT}"],
}
MODEL = "models/model"
_SETTLE_SECONDS = 20.0
_FAULTS_PER_ENSEMBLE = 10


@dataclass(frozen=True)
class Trial:
    """A fault and what became of the job beside it."""

    number: int
    fault: Fault
    complaint: str
    """Empty if all is well."""
    seconds: float


def run_campaign(
    data: Path, folder: Path, *, count: int, seed: int, services: Sequence[str] = SERVICES
) -> Iterator[Trial]:
    """Yields `count` trials; ensembles are renewed now and then, and leave nothing.

    Args:
        data: Folder of the real recordings.
        folder: An empty one, for homes and files.
        count: Number of faults.
        seed: Of the faults: the same seed gives the same ones.
        services: Which may be disturbed.
    """
    random_source = random.Random(seed)
    faults = [random_fault(random_source, tuple(services)) for _ in range(count)]
    for first in range(0, count, _FAULTS_PER_ENSEMBLE):
        home = Path(tempfile.mkdtemp(prefix=f"from-{first}-", dir=folder))
        # With two workers, one takes over what the other still believes to have.
        with _ensemble(
            home, data, second_worker=bool(first // _FAULTS_PER_ENSEMBLE % 2)
        ) as ensemble:
            video = data / "pair" / "centered_pair_small.mp4"
            bench = _Bench(ensemble, video, home)
            for number, fault in enumerate(faults[first : first + _FAULTS_PER_ENSEMBLE], first):
                yield bench.run(number, fault)


@contextmanager
def _ensemble(folder: Path, data: Path, *, second_worker: bool) -> Iterator[FaultyEnsemble]:
    """Yields an ensemble with a model; fails if it leaves anything behind."""
    ensemble = FaultyEnsemble(folder, SETTINGS, second_worker=second_worker)
    with ensemble:
        ensemble.wait_until_serving()
        with Shoal.connect(ensemble.targets) as shoal:
            source = data / "models" / "minimal_instance.UNet.bottomup"
            shoal.models.import_([str(source)], name=MODEL.removeprefix("models/"))
        yield ensemble
    assert not (left := ensemble.processes() + ensemble.leftovers()), left


class _Bench:
    """An ensemble and the undisturbed result of its job."""

    def __init__(self, ensemble: FaultyEnsemble, video: Path, folder: Path) -> None:
        self._ensemble = ensemble
        self._video = video
        self._folder = folder / "exported"
        self._folder.mkdir()
        self._job("warm")
        self._undisturbed = self._job("undisturbed")
        assert self._undisturbed.frame_indices == tuple(FRAMES)

    def run(self, number: int, fault: Fault) -> Trial:
        """Runs a job beside a fault; returns what is wrong with it."""
        self._ensemble.wait_until_serving()
        self._ensemble.away_seconds = fault.away_seconds
        disturbing = threading.Thread(target=self._disturb, args=[fault])
        begun = time.monotonic()
        disturbing.start()
        try:
            complaint = self._complaint(self._job(f"fault-{number}"))
        except (ShoalError, TimeoutError) as error:
            complaint = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - begun
        disturbing.join()
        return Trial(number, fault, complaint or self._unsettled(), seconds)

    def _job(self, project: str) -> Outcome:
        # A project of its own makes a job of its own, with the same work.
        with Shoal.connect(self._ensemble.targets, project=project) as shoal:
            return run_job(shoal, self._video, MODEL, self._folder / f"{project}.slp")

    def _disturb(self, fault: Fault) -> None:
        time.sleep(fault.moment * self._undisturbed.seconds)
        if fault.kind is Kind.KILL:
            self._ensemble.send(fault.service, signal.SIGKILL)
            return
        pid = self._ensemble.send(fault.service, signal.SIGSTOP)
        time.sleep(fault.pause_seconds)
        after = signal.SIGCONT if fault.kind is Kind.PAUSE else signal.SIGKILL
        self._ensemble.send_if_same(pid, after)

    def _complaint(self, outcome: Outcome) -> str:
        if outcome.frame_indices != self._undisturbed.frame_indices:
            return f"frames lost or doubled: {outcome.frame_indices}"
        if outcome.digest != self._undisturbed.digest:
            return "the poses differ"
        return ""

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

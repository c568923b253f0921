"""A trace of a few steps, for a browser's tracer (chrome://tracing, Perfetto)."""

from pathlib import Path

import torch

from shoal_training.reports import BatchReport, Listener

PROFILE = "profile.json"
SKIPPED_STEPS = 3
"""The first steps choose kernels and fill caches."""
TRACED_STEPS = 5


class Profiler(Listener):
    """Writes `profile.json` of a run folder."""

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / PROFILE
        self._steps = 0
        self._profile: torch.profiler.profile | None = None

    def batch_end(self, report: BatchReport) -> None:
        """Begins after the first steps, and ends some steps later."""
        self._steps += 1
        if self._steps == SKIPPED_STEPS:
            self._profile = torch.profiler.profile()
            self._profile.start()
        elif self._steps == SKIPPED_STEPS + TRACED_STEPS:
            self._finish()

    def train_end(self) -> None:
        """Ends a trace of a run that was shorter."""
        self._finish()

    def _finish(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile.export_chrome_trace(str(self._path))
            self._profile = None

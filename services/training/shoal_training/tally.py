"""Losses of many batches, added up where they were computed."""

from collections.abc import Sequence

import torch

from shoal_training.distributed import Processes
from shoal_training.losses import LossValues
from shoal_training.reports import MeanLosses


class Tally:
    """The mean of losses over samples; nothing waits for the device until it is asked."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        """Takes the names of the parts."""
        self._names = tuple(names)
        # total, parts …, samples
        self._sums = torch.zeros(len(names) + 2, dtype=torch.float64, device=device)

    def add(self, values: LossValues, samples: int) -> None:
        """Takes a batch's losses, which are means over its samples."""
        one = torch.ones_like(values.total)
        row = torch.stack([values.total, *(values.parts[name] for name in self._names), one])
        self._sums += row.double() * samples

    def mean(self, processes: Processes) -> tuple[MeanLosses | None, int]:
        """Returns the mean over the samples of all processes, and their number.

        The mean is None where there are no samples.
        """
        *sums, count = processes.sum(self._sums.clone()).tolist()
        if not count:
            return None, 0
        total, *parts = (value / count for value in sums)
        return MeanLosses(total=total, parts=dict(zip(self._names, parts, strict=True))), int(count)

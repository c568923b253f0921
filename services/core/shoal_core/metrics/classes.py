"""How often an ID model names the right identity: no tracking, frame by frame.

Axis legend: I true instances of a frame, M matched pairs, K classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from shoal_core.metrics.localization import match_instances
from shoal_core.pose import NO_TRACK, FramePoses


@dataclass(frozen=True)
class ClassAccuracy:
    """Counts over all frames; true instances without a class are left out."""

    confusion: tuple[tuple[int, ...], ...]
    """K rows (true class) of K + 1 columns: predicted class, and last those that were not found
    or got no class."""

    @property
    def found_count(self) -> int:
        """True instances that were found and named."""
        return sum(sum(row[:-1]) for row in self.confusion)

    @property
    def right_count(self) -> int:
        """Those of them under the right name."""
        return sum(row[index] for index, row in enumerate(self.confusion))

    @property
    def accuracy(self) -> float:
        """Fraction of the found and named instances that bear the right name; 0 without any."""
        return self.right_count / max(self.found_count, 1)


def class_accuracy(
    pairs: Iterable[tuple[FramePoses, FramePoses]], class_count: int
) -> ClassAccuracy:
    """Returns how classes (`track_indices_I`) are confused, over (truth, prediction) of frames.

    Who is meant by whom follows from distances alone (`match_instances`), whatever the names.
    """
    confusion = np.zeros((class_count, class_count + 1), int)
    for truth, predicted in pairs:
        true_M, predicted_M = match_instances(truth.points_px_IN2, predicted.points_px_IN2)
        said_I = np.full(truth.instance_count, NO_TRACK)
        said_I[true_M] = predicted.track_indices_I[predicted_M]
        named_I = truth.track_indices_I != NO_TRACK
        # NO_TRACK, −1, is the last column.
        np.add.at(confusion, (truth.track_indices_I[named_I], said_I[named_I]), 1)
    return ClassAccuracy(tuple(tuple(int(count) for count in row) for row in confusion))

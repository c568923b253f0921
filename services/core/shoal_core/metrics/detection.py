"""How well animals are found by one point each: the first stage of top-down models.

Axis legend: I true points and J found points of a frame, M matched pairs, 2 = (x, y). Pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.assignment import optimal_pairs

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DetectionAccuracy:
    """Counts and distances over all frames; a distance is None where nothing was found."""

    radius_px: float
    """Distance below which a point is found."""
    truth_count: int
    predicted_count: int
    found_count: int
    """Pairs of a true and a predicted point within the radius, one to one."""
    dist_p50_px: float | None
    """Median distance of these pairs."""
    dist_p95_px: float | None
    """Distance that 95 % of these pairs do not exceed."""

    @property
    def precision(self) -> float:
        """Fraction of the predicted points that are true; 0 without any."""
        return self.found_count / max(self.predicted_count, 1)

    @property
    def recall(self) -> float:
        """Fraction of the true points that were found; 0 without any."""
        return self.found_count / max(self.truth_count, 1)


def detection_accuracy(
    frames: Iterable[tuple[Array, Array]], radius_px: float
) -> DetectionAccuracy:
    """Returns the accuracy of (true (I, 2), found (J, 2)) points of frames.

    Pairs of greatest summed nearness within the radius are found; a second point at an animal
    counts as false.
    """
    truth_count = predicted_count = 0
    distances: list[Array] = [np.zeros(0)]
    for truth_I2, predicted_J2 in frames:
        steps_IJ2 = truth_I2[:, None].astype(float) - predicted_J2
        distances_IJ = np.hypot(steps_IJ2[..., 0], steps_IJ2[..., 1])
        true_M, predicted_M = optimal_pairs(np.maximum(1 - distances_IJ / radius_px, 0))
        distances.append(distances_IJ[true_M, predicted_M])
        truth_count += len(truth_I2)
        predicted_count += len(predicted_J2)
    distances_M = np.concatenate(distances)
    found = len(distances_M) > 0
    return DetectionAccuracy(
        radius_px=radius_px,
        truth_count=truth_count,
        predicted_count=predicted_count,
        found_count=len(distances_M),
        dist_p50_px=float(np.percentile(distances_M, 50)) if found else None,
        dist_p95_px=float(np.percentile(distances_M, 95)) if found else None,
    )

"""What an imperfect detector would say of a true frame: for tests of trackers and metrics.

Axis legend: I instances, N nodes, D detections, 2 = (x, y). Frame pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_core.pose import NO_TRACK, FramePoses


@dataclass(frozen=True)
class Observation:
    """How good the detector is."""

    jitter_px: float = 0.0
    """Standard deviation of each coordinate."""
    missed_node_rate: float = 0.0
    """Probability that a visible node is not found."""
    missed_animal_rate: float = 0.0
    """Probability that a visible animal is not found at all."""
    false_animal_rate: float = 0.0
    """Probability per frame of an animal that does not exist, with low scores."""


def observe(
    truth: FramePoses, observation: Observation, rng: np.random.Generator
) -> tuple[FramePoses, NDArray[np.int32]]:
    """Returns untracked detections in random order, and whose each of them is (−1: nobody's).

    Scores are 0.7 to 1 for animals, 0.2 to 0.5 for false ones, which are copies of a pose at
    some other place of the animals' surroundings.
    """
    points_IN2 = truth.points_px_IN2 + rng.normal(
        0, observation.jitter_px, truth.points_px_IN2.shape
    ).astype(np.float32)
    points_IN2[rng.random(points_IN2.shape[:2]) < observation.missed_node_rate] = np.nan
    found_I = ~np.isnan(points_IN2[..., 0]).all(axis=1)
    found_I &= rng.random(truth.instance_count) >= observation.missed_animal_rate
    points_DN2, owners_D = points_IN2[found_I], truth.track_indices_I[found_I]
    scores_D = rng.uniform(0.7, 1, len(points_DN2)).astype(np.float32)
    if len(points_DN2) and rng.random() < observation.false_animal_rate:
        ghost_N2 = points_DN2[:1] + rng.uniform(-200, 200, 2).astype(np.float32)
        points_DN2 = np.concatenate((points_DN2, ghost_N2))
        owners_D = np.append(owners_D, np.int32(NO_TRACK))
        scores_D = np.append(scores_D, np.float32(rng.uniform(0.2, 0.5)))
    order_D = rng.permutation(len(points_DN2))
    points_DN2, scores_D = points_DN2[order_D], scores_D[order_D]
    point_scores_DN = np.where(np.isnan(points_DN2[..., 0]), 0, scores_D[:, None])
    detections = FramePoses.untracked(
        truth.frame_index, points_DN2, point_scores_DN.astype(np.float32), scores_D
    )
    return detections, owners_D[order_D].astype(np.int32)

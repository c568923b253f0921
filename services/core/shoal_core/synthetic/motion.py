"""Smooth wandering paths that cross.

Axis legend: A animals, T frames, L points of a path (its straight beginning, then T frames),
S places along the spine, 2 = (x, y). Pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAD_LENGTHS = 3.0
"""Straight path before frame 0, in body lengths: the tail needs somewhere to lie."""


@dataclass(frozen=True, eq=False)
class Paths:
    """Where each nose has been, and how far it had gone by then."""

    points_px_AL2: Floats
    travelled_px_AL: Floats

    def behind_nose(self, frame_index: int, distance_px_S: Floats) -> Floats:
        """Returns the points (A, S, 2) that lie so far behind the nose along the path.

        Negative distances lie ahead, on the straight continuation of the present heading.
        """
        now = frame_index + 1
        places_A = []
        for path_L2, travelled_L in zip(self.points_px_AL2, self.travelled_px_AL, strict=True):
            at_S = travelled_L[now] - distance_px_S
            back_S2 = np.stack(
                [np.interp(at_S, travelled_L, path_L2[:, axis]) for axis in (0, 1)], axis=1
            )
            just_behind_2 = np.array(
                [np.interp(travelled_L[now] - 1, travelled_L, path_L2[:, axis]) for axis in (0, 1)]
            )
            ahead_S2 = (path_L2[now] - just_behind_2) * -distance_px_S[:, None] + path_L2[now]
            places_A.append(np.where(distance_px_S[:, None] < 0, ahead_S2, back_S2))
        return np.array(places_A).reshape(-1, len(distance_px_S), 2)


def wander(
    *,
    frame_count: int,
    animal_count: int,
    size_px: Floats,
    body_length_px: float,
    speed_px: float,
    rng: np.random.Generator,
) -> Paths:
    """Returns paths of animals that steer towards changing goals, with limited curvature.

    A goal is a random place or, four times in ten, where another animal is now. Speed is a
    log-normal random walk about `speed_px`; a path never bends tighter than half
    a body length, so that bodies stay smooth.
    """
    margin_px = np.minimum(0.9 * body_length_px, 0.3 * size_px)
    place_A2 = rng.uniform(margin_px, size_px - margin_px, (animal_count, 2))
    heading_A = rng.uniform(0, 2 * np.pi, animal_count)
    goal_A2 = rng.uniform(margin_px, size_px - margin_px, (animal_count, 2))
    patience_A = rng.integers(30, 120, animal_count)
    log_speed_A = np.zeros(animal_count)
    bend_A = np.zeros(animal_count)
    direction_A2 = np.stack((np.cos(heading_A), np.sin(heading_A)), axis=1)
    points_LA2 = [place_A2 - _LEAD_LENGTHS * body_length_px * direction_A2, place_A2]
    for _ in range(frame_count - 1):
        patience_A -= 1
        near_A = np.linalg.norm(goal_A2 - place_A2, axis=1) < 0.5 * body_length_px
        for animal in np.flatnonzero(near_A | (patience_A < 0)):
            patience_A[animal] = rng.integers(30, 120)
            goal_A2[animal] = rng.uniform(margin_px, size_px - margin_px)
            if animal_count > 1 and rng.random() < 0.4:
                goal_A2[animal] = place_A2[(animal + rng.integers(1, animal_count)) % animal_count]
        log_speed_A += -0.05 * log_speed_A + 0.15 * rng.standard_normal(animal_count)
        step_A = speed_px * np.exp(log_speed_A)
        wanted_A = np.arctan2(*(goal_A2 - place_A2).T[::-1])
        turn_A = np.angle(np.exp(1j * (wanted_A - heading_A)))
        bend_A += 0.2 * (1.2 * turn_A - bend_A) + 0.12 * rng.standard_normal(animal_count)
        heading_A = heading_A + np.clip(bend_A, -2, 2) / body_length_px * step_A
        direction_A2 = np.stack((np.cos(heading_A), np.sin(heading_A)), axis=1)
        place_A2 = place_A2 + step_A[:, None] * direction_A2
        points_LA2.append(place_A2)
    points_AL2 = np.array(points_LA2).transpose(1, 0, 2)
    steps_AL = np.linalg.norm(np.diff(points_AL2, axis=1), axis=2)
    travelled_AL = np.concatenate((np.zeros((animal_count, 1)), steps_AL.cumsum(axis=1)), axis=1)
    return Paths(points_AL2, travelled_AL)

"""How well identities are kept: CLEAR-MOT counts, ID switches and IDF1.

CLEAR-MOT: Bernardin & Stiefelhagen, 2008; IDF1: Ristani et al., 2016. An instance is found
when the mean distance of its nodes is less than half a body length (`nearness` above 0.5).

Axis legend: I true instances and J predicted instances of a frame, M matched pairs.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from shoal_core.assignment import optimal_pairs
from shoal_core.metrics.localization import nearness
from shoal_core.pose import NO_TRACK, FramePoses

_FOUND = 0.5
"""Nearness that makes a pair possible."""


@dataclass(frozen=True)
class IdentityAccuracy:
    """Counts over all frames; true instances without a track are left out."""

    truth_count: int
    predicted_count: int
    found_count: int
    """True instances with a predicted one."""
    switch_count: int
    """Times that a true track is found under another predicted track than when last found."""
    fragment_count: int
    """Times that a true track is found again after frames in which it was there but not found."""
    id_found_count: int
    """Instances under the right identity: IDTP, the best one-to-one naming of whole tracks."""

    @property
    def missed_count(self) -> int:
        """True instances without a predicted one."""
        return self.truth_count - self.found_count

    @property
    def false_count(self) -> int:
        """Predicted instances without a true one."""
        return self.predicted_count - self.found_count

    @property
    def mota(self) -> float:
        """1 − (missed + false + switches) / true instances; may be negative."""
        faults = self.missed_count + self.false_count + self.switch_count
        return 1 - faults / max(self.truth_count, 1)

    @property
    def idf1(self) -> float:
        """2 IDTP / (true + predicted instances), 0 to 1."""
        return 2 * self.id_found_count / max(self.truth_count + self.predicted_count, 1)


def identity_accuracy(pairs: Iterable[tuple[FramePoses, FramePoses]]) -> IdentityAccuracy:
    """Returns the counts over (truth, prediction) of successive frames.

    A pair of the frame before stays together while it is possible (CLEAR-MOT); otherwise the
    greatest summed nearness decides. A prediction without a track can find an instance, but
    under no identity.
    """
    truth_count = predicted_count = found_count = switches = fragments = 0
    named: dict[int, int] = {}  # true track → predicted track when last found under one
    held: dict[int, int] = {}  # the same, of the frame before only
    lost: set[int] = set()
    together: Counter[tuple[int, int]] = Counter()
    for truth, predicted in pairs:
        truth = truth.select(truth.track_indices_I != NO_TRACK)  # noqa: PLW2901 -- same frame
        true_tracks = truth.track_indices_I.tolist()
        tracks = predicted.track_indices_I.tolist()
        truth_count += len(true_tracks)
        predicted_count += len(tracks)
        near_IJ = nearness(truth.points_px_IN2, predicted.points_px_IN2)
        near_IJ[near_IJ <= _FOUND] = 0
        for row, column in np.argwhere(near_IJ > 0).tolist():
            if tracks[column] != NO_TRACK:
                together[true_tracks[row], tracks[column]] += 1
        stays_IJ = np.array(
            [[held.get(true) == track for track in tracks] for true in true_tracks], bool
        ).reshape(near_IJ.shape)
        row_M, column_M = optimal_pairs(near_IJ + 1000 * (stays_IJ & (near_IJ > 0)))
        found_count += len(row_M)
        found = {true_tracks[r]: tracks[c] for r, c in zip(row_M, column_M, strict=True)}
        held = {true: track for true, track in found.items() if track != NO_TRACK}
        switches += sum(named.get(true, track) != track for true, track in held.items())
        named |= held
        fragments += len(lost & set(found))
        lost = (lost | (set(true_tracks) & set(named))) - set(found)
    return IdentityAccuracy(
        truth_count, predicted_count, found_count, switches, fragments, _best_naming(together)
    )


def _best_naming(together: Counter[tuple[int, int]]) -> int:
    """Greatest number of shared instances when each track gets one name at most."""
    if not together:
        return 0
    rows = {true: row for row, true in enumerate(sorted({true for true, _ in together}))}
    columns = {track: column for column, track in enumerate(sorted({t for _, t in together}))}
    shared = np.zeros((len(rows), len(columns)))
    for (true, track), count in together.items():
        shared[rows[true], columns[track]] = count
    return int(shared[linear_sum_assignment(shared, maximize=True)].sum())

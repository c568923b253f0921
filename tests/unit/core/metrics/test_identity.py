"""Laws of the identity metrics."""

from dataclasses import replace

import numpy as np
import pytest

from shoal_core.metrics.identity import identity_accuracy
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.synthetic import Observation, SyntheticWorld, WorldConfig, observe
from shoal_core.tracking import Tracker, WindowTracker

BODY = np.array([[0, 0], [20, 0], [20, 20]], np.float32)


def frame_of(index: int, tracks: list[int], places: list[float]) -> FramePoses:
    points = np.array([BODY + np.float32((x, 0)) for x in places]).reshape(-1, 3, 2)
    ones = np.ones(points.shape[:2], np.float32)
    frame = FramePoses.untracked(index, points, ones, ones[:, 0])
    return replace(frame, track_indices_I=np.array(tracks, np.int32))


def film(tracks_by_frame: list[list[int]], places=(0, 200)) -> list[tuple[FramePoses, FramePoses]]:
    """Two animals at fixed places, and the tracks predicted for them (None: not found)."""
    pairs = []
    for index, tracks in enumerate(tracks_by_frame):
        found = [i for i, track in enumerate(tracks) if track is not None]
        predicted = frame_of(index, [tracks[i] for i in found], [places[i] for i in found])
        pairs.append((frame_of(index, [0, 1], list(places)), predicted))
    return pairs


def test_perfect_tracks_have_no_faults() -> None:
    result = identity_accuracy(film([[0, 1]] * 10))
    assert (result.switch_count, result.missed_count, result.false_count) == (0, 0, 0)
    assert result.mota == result.idf1 == 1


def test_names_of_tracks_do_not_matter() -> None:
    assert identity_accuracy(film([[7, 3]] * 10)) == identity_accuracy(film([[0, 1]] * 10))


def test_an_exchange_is_a_switch_of_both_and_counts_once_each() -> None:
    result = identity_accuracy(film([[0, 1]] * 6 + [[1, 0]] * 4))
    assert result.switch_count == 2
    assert result.idf1 == pytest.approx(0.6)
    assert result.mota == pytest.approx(1 - 2 / 20)


def test_a_switch_across_a_gap_is_still_a_switch() -> None:
    result = identity_accuracy(film([[0, 1], [None, 1], [5, 1]]))
    assert result.switch_count == 1
    assert result.fragment_count == 1
    assert result.missed_count == 1


def test_coming_back_under_the_same_track_is_a_fragment_but_no_switch() -> None:
    result = identity_accuracy(film([[0, 1], [None, 1], [None, 1], [0, 1]]))
    assert (result.switch_count, result.fragment_count, result.missed_count) == (0, 1, 2)


def test_false_predictions_are_counted() -> None:
    pairs = film([[0, 1]] * 5)
    ghost = frame_of(0, [9], [800])
    pairs[0] = (pairs[0][0], ghost)
    result = identity_accuracy(pairs)
    assert (result.false_count, result.missed_count) == (1, 2)


def test_untracked_predictions_find_animals_without_naming_them() -> None:
    result = identity_accuracy(film([[NO_TRACK, NO_TRACK]] * 5))
    assert result.missed_count == result.switch_count == 0
    assert result.idf1 == 0


def test_a_pair_of_the_frame_before_stays_together_while_it_can() -> None:
    places = (0.0, 8.0)
    near = [frame_of(0, [0, 1], list(places)), frame_of(1, [0, 1], [5, 5])]
    truth = [frame_of(0, [0, 1], list(places)), frame_of(1, [0, 1], list(places))]
    assert identity_accuracy(list(zip(truth, near, strict=True))).switch_count == 0


def test_the_counts_agree_with_the_tracker_on_a_synthetic_world() -> None:
    world = SyntheticWorld(WorldConfig(frame_count=400, animal_count=3, seed=4))
    rng = np.random.default_rng(0)
    tracker = Tracker(WindowTracker.for_animals(3))
    pairs = []
    for index in range(400):
        truth = world.truth(index)
        pairs.append((truth, tracker.update(observe(truth, Observation(jitter_px=1), rng)[0])))
    result = identity_accuracy(pairs)
    assert result.switch_count == 0
    assert result.idf1 == 1
    assert result.found_count == result.truth_count

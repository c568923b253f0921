"""Laws of the line scores."""

import numpy as np
import pytest

from shoal_core.pafs import edge_scores
from shoal_core.targets import part_affinity_fields

NAN = np.nan
TWO_FLIES = np.array([[[5.0, 10.0], [25.0, 10.0]], [[5.0, 30.0], [25.0, 30.0]]])


def field_of(points: np.ndarray) -> np.ndarray:
    return part_affinity_fields(points, ((0, 1),), (40, 40), output_stride=1, sigma_px=10)[None]


def peaks_of(points: np.ndarray) -> np.ndarray:
    return points.transpose(1, 0, 2)[None]


def test_the_score_of_a_true_edge_is_one_and_of_its_reverse_minus_one() -> None:
    fields = field_of(TWO_FLIES[:1])
    there = edge_scores(fields, peaks_of(TWO_FLIES[:1]), ((0, 1),))
    back = edge_scores(fields, peaks_of(TWO_FLIES[:1, ::-1]), ((0, 1),))
    assert there.item() == pytest.approx(1, abs=1e-6)
    assert back.item() == pytest.approx(-1, abs=1e-6)


def test_true_pairs_outscore_false_pairs() -> None:
    scores = edge_scores(field_of(TWO_FLIES), peaks_of(TWO_FLIES), ((0, 1),))[0, 0]
    assert np.diag(scores) == pytest.approx(np.ones(2), abs=1e-6)
    assert scores[0, 1] < 0.5
    assert scores[1, 0] < 0.5


def test_fields_are_read_at_the_nearest_pixel_of_ten_samples_with_both_ends() -> None:
    fields = np.zeros((1, 4, 20, 1, 2), np.float32)
    fields[0, 1, :, 0, 0] = np.arange(20)
    peaks = np.array([[[[0.4, 1.3]], [[9.4, 1.3]]]])
    assert edge_scores(fields, peaks, ((0, 1),)).item() == pytest.approx(4.5)


def test_empty_places_and_coinciding_peaks_score_zero() -> None:
    fields = np.ones((1, 8, 8, 1, 2), np.float32)
    peaks = np.array([[[[2.0, 2.0], [NAN, NAN]], [[2.0, 2.0], [6.0, 2.0]]]])
    scores = edge_scores(fields, peaks, ((0, 1),))[0, 0]
    assert scores[0, 0] == 0
    assert scores[1].tolist() == [0, 0]
    assert scores[0, 1] == pytest.approx(1)


def test_lines_that_leave_the_map_read_its_border() -> None:
    fields = np.zeros((1, 8, 8, 1, 2), np.float32)
    fields[0, :, -1, 0, 0] = 1
    peaks = np.array([[[[7.4, 2.0]], [[12.0, 2.0]]]])
    assert edge_scores(fields, peaks, ((0, 1),)).item() == pytest.approx(1)


def test_a_skeleton_without_edges_scores_nothing() -> None:
    assert edge_scores(np.zeros((2, 8, 8, 0, 2)), np.zeros((2, 3, 4, 2)), ()).shape == (2, 0, 4, 4)

"""Laws of finding animals by one point each."""

import numpy as np
import pytest

from shoal_core.metrics.detection import detection_accuracy

TRUTH = np.array([[10, 10], [100, 10], [50, 80]], float)
NOBODY = np.zeros((0, 2))


def test_points_within_the_radius_are_found_whatever_their_order() -> None:
    result = detection_accuracy([(TRUTH, TRUTH[::-1] + np.array((3, 4)))], radius_px=6)
    assert (result.found_count, result.precision, result.recall) == (3, 1, 1)
    assert result.dist_p50_px == result.dist_p95_px == pytest.approx(5)


def test_points_beyond_the_radius_are_false() -> None:
    result = detection_accuracy([(TRUTH, TRUTH + np.array((3, 4)))], radius_px=5)
    assert (result.found_count, result.precision, result.recall) == (0, 0, 0)
    assert result.dist_p50_px is None


def test_a_second_point_at_an_animal_costs_precision_and_a_missing_one_recall() -> None:
    twice = np.concatenate((TRUTH, TRUTH[:1] + 1))
    assert detection_accuracy([(TRUTH, twice)], 5).precision == pytest.approx(3 / 4)
    assert detection_accuracy([(TRUTH, TRUTH[:2]), (TRUTH, NOBODY)], 5).recall == pytest.approx(
        1 / 3
    )


def test_frames_without_animals_or_points_cost_nothing() -> None:
    plain = detection_accuracy([(TRUTH, TRUTH)], 5)
    assert detection_accuracy([(TRUTH, TRUTH), (NOBODY, NOBODY)], 5) == plain
    assert detection_accuracy([], 5).recall == 0

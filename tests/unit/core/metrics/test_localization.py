"""Laws of the localisation metrics."""

import numpy as np
import pytest

from shoal_core.metrics.localization import localization, match_instances, nearness

NAN = np.nan
TRUTH = np.array([[[0, 0], [50, 0], [50, 50]]], float)


def test_errors_are_distances_of_nodes_that_both_have() -> None:
    predicted = np.array([[[3, 4], [NAN, NAN], [50, 50]]])
    result = localization([(TRUTH, predicted)])
    assert sorted(result.errors_px.tolist()) == [0, 5]
    assert result.mean_px == 2.5
    assert result.percentile_px(50) == 2.5
    assert result.visibility_recall == pytest.approx(2 / 3)
    assert result.visibility_precision == 1


def test_pck_counts_true_nodes_within_the_radius() -> None:
    predicted = np.array([[[3, 4], [NAN, NAN], [50, 50]]])
    result = localization([(TRUTH, predicted)])
    assert [result.pck(radius) for radius in (1, 5, 5.1)] == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_a_node_that_the_truth_lacks_costs_visibility_precision_only() -> None:
    truth = TRUTH.copy()
    truth[0, 0] = NAN
    result = localization([(truth, TRUTH)])
    assert result.visibility_precision == pytest.approx(2 / 3)
    assert result.visibility_recall == result.pck(1) == 1


def test_nothing_matched_has_no_errors() -> None:
    result = localization([])
    assert result.mean_px is None
    assert result.percentile_px(95) is None
    assert result.pck(10) == result.visibility_precision == 0


def test_matching_finds_the_shuffled_animals() -> None:
    rng = np.random.default_rng(0)
    truth = TRUTH + rng.uniform(0, 400, (6, 1, 2))
    order = rng.permutation(6)
    true, predicted = match_instances(truth, truth[order] + rng.normal(0, 1, truth.shape))
    assert order[predicted].tolist() == true.tolist() == list(range(6))


def test_nobody_beyond_a_body_length_is_matched() -> None:
    diagonal = np.hypot(50, 50)
    assert nearness(TRUTH, TRUTH + np.array((0.9 * diagonal, 0))).item() == pytest.approx(0.1)
    assert nearness(TRUTH, TRUTH + np.array((1.1 * diagonal, 0))).item() == 0


def test_a_pose_along_one_axis_and_a_pose_of_one_node_can_be_matched() -> None:
    line = np.array([[[0, 0], [50, 0]]], float)
    point = np.array([[[0, 0], [NAN, NAN]]])
    for truth in (line, point):
        assert len(match_instances(truth, truth + np.array((0, 2)))[0]) == 1


def test_poses_without_a_common_node_are_not_matched() -> None:
    one, other = TRUTH.copy(), TRUTH.copy()
    one[0, 1:], other[0, :1] = NAN, NAN
    assert len(match_instances(one, other)[0]) == 0

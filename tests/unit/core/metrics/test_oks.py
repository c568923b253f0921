"""Laws of object keypoint similarity."""

import numpy as np
import pytest

from shoal_core.metrics.oks import box_areas, oks

NAN = np.nan
SQUARE = np.array([[[0, 0], [100, 0], [100, 100], [0, 100]]], float)


def test_a_perfect_pose_scores_one_and_a_distant_one_zero() -> None:
    assert oks(SQUARE, SQUARE).item() == pytest.approx(1)
    assert oks(SQUARE, SQUARE + 1000).item() == pytest.approx(0)


@pytest.mark.parametrize(("form", "factor"), [("software", 4), ("paper", 1)])
def test_one_displaced_node_gives_the_formula(form, factor: int) -> None:
    moved = SQUARE.copy()
    moved[0, 0] += (3, 4)
    kernel = np.exp(-25 / (2 * 100**2 * factor * 0.025**2))
    assert oks(SQUARE, moved, form=form).item() == pytest.approx((3 + kernel) / 4)


def test_scaling_the_scene_does_not_change_it() -> None:
    moved = SQUARE + np.random.default_rng(0).normal(0, 3, SQUARE.shape)
    assert oks(7 * SQUARE, 7 * moved).item() == pytest.approx(oks(SQUARE, moved).item())


def test_missing_nodes_count_only_where_the_truth_has_them() -> None:
    half = SQUARE.copy()
    half[0, 2:] = NAN
    assert oks(SQUARE, half).item() == pytest.approx(0.5)
    area = np.array([100.0**2])
    assert oks(half, SQUARE, areas_px2_I=area).item() == pytest.approx(1)
    assert oks(half, half, areas_px2_I=area).item() == pytest.approx(1)


def test_every_truth_meets_every_prediction_and_only_the_truth_gives_the_area() -> None:
    big, small = 1.05 * SQUARE, SQUARE
    table = oks(np.concatenate((big, small)), np.concatenate((small, big)))
    assert table.shape == (2, 2)
    assert [table[0, 1], table[1, 0]] == pytest.approx([1, 1])
    assert table[0, 0] > table[1, 1]


def test_nobody_to_compare_with_gives_an_empty_table() -> None:
    assert oks(np.zeros((0, 4, 2)), SQUARE).shape == (0, 1)
    assert oks(SQUARE, np.zeros((0, 4, 2))).shape == (1, 0)


def test_the_area_is_that_of_the_visible_nodes_bounding_box() -> None:
    points = np.array([[[0, 0], [30, 10], [NAN, NAN]], [[NAN, NAN]] * 3])
    assert box_areas(points).tolist() == [300, 0]

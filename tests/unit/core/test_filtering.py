"""Laws of the filters of a frame's instances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_core.coordinates import bounding_boxes
from shoal_core.errors import InvalidArgument
from shoal_core.filtering import InstanceFilters, best_scored, filter_instances
from shoal_core.metrics.oks import oks
from shoal_core.pose import FramePoses
from shoal_core.tracking.similarity import box_overlaps

NAN = float("nan")


def poses_of(points, scores, point_scores=0.5) -> FramePoses:
    points_IN2 = np.array(points, np.float32)
    point_scores_IN = np.broadcast_to(np.float32(point_scores), points_IN2.shape[:2]).copy()
    point_scores_IN[np.isnan(points_IN2[..., 0])] = 0
    return FramePoses.untracked(3, points_IN2, point_scores_IN, np.array(scores, np.float32))


@st.composite
def frames(draw) -> FramePoses:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, nodes = draw(st.integers(0, 8)), draw(st.integers(1, 10))
    points = rng.uniform(0, 60, (count, nodes, 2))
    points[rng.random((count, nodes)) < 0.3] = NAN
    scores = rng.integers(0, 5, count) / 4
    return poses_of(points, scores, rng.random((count, nodes)))


filters = st.builds(
    InstanceFilters,
    min_visible_nodes=st.integers(0, 6),
    min_visible_node_fraction=st.floats(0, 1),
    min_mean_node_score=st.floats(0, 1),
    min_instance_score=st.none() | st.floats(0, 1),
    overlapping_method=st.sampled_from(["none", "iou", "oks"]),
    overlapping_threshold=st.floats(0, 1),
)


def as_rows(poses: FramePoses) -> list[bytes]:
    return [points.tobytes() for points in poses.points_px_IN2]


def overlaps(method, better: FramePoses, worse: FramePoses):
    if method == "oks":
        return oks(better.points_px_IN2, worse.points_px_IN2)
    return box_overlaps(bounding_boxes(better.points_px_IN2), bounding_boxes(worse.points_px_IN2))


@given(frames(), filters)
def test_what_stays_is_good_enough_in_its_order_and_stays_again(poses, filters) -> None:
    kept = filter_instances(poses, filters)
    remaining = iter(as_rows(poses))
    assert all(row in remaining for row in as_rows(kept))
    visible_IN = ~np.isnan(kept.points_px_IN2[..., 0])
    assert (visible_IN.sum(axis=1) >= filters.min_visible_nodes).all()
    if filters.min_instance_score is not None:
        assert (kept.instance_scores_I >= np.float32(filters.min_instance_score)).all()
    assert as_rows(filter_instances(kept, filters)) == as_rows(kept)


@given(frames(), st.sampled_from(["iou", "oks"]), st.floats(0, 1))
def test_who_goes_overlaps_a_better_one_that_stays(poses, method, threshold) -> None:
    rule = InstanceFilters(overlapping_method=method, overlapping_threshold=threshold)
    kept = filter_instances(poses, rule)
    remaining = as_rows(kept)
    gone = poses.select(np.array([row not in remaining for row in as_rows(poses)], bool))
    over_KG = overlaps(method, kept, gone) > np.float32(threshold)
    better_KG = kept.instance_scores_I[:, None] >= gone.instance_scores_I
    assert (over_KG & better_KG).any(axis=0).all()


@given(frames(), st.sampled_from(["iou", "oks"]), st.floats(0, 1))
def test_nobody_that_stays_overlaps_a_better_one(poses, method, threshold) -> None:
    rule = InstanceFilters(overlapping_method=method, overlapping_threshold=threshold)
    kept = filter_instances(poses, rule)
    over_II = overlaps(method, kept, kept) > np.float32(threshold)
    better_II = kept.instance_scores_I[:, None] > kept.instance_scores_I
    assert not (over_II & better_II).any()


@given(frames())
def test_without_filters_nothing_changes(poses) -> None:
    assert filter_instances(poses, InstanceFilters(overlapping_threshold=0.1)) is poses


SQUARES = [[[0, 0], [9, 9]], [[0, 0], [9, 7]], [[40, 0], [49, 9]]]
"""The first two share 80 of 100 pixels."""


@pytest.mark.parametrize(("threshold", "kept"), [(0.79, [1, 2]), (0.8, [0, 1, 2]), (1, [0, 1, 2])])
def test_the_worse_of_two_goes_above_the_threshold(threshold, kept) -> None:
    poses = poses_of(SQUARES, [0.5, 0.6, 0.1])
    rule = InstanceFilters(overlapping_method="iou", overlapping_threshold=threshold)
    assert as_rows(filter_instances(poses, rule)) == [as_rows(poses)[row] for row in kept]


def test_one_that_goes_takes_nobody_with_it() -> None:
    """A chain: the middle one overlaps both, the ends do not overlap one another."""
    chain = [[[0, 0], [9, 9]], [[5, 0], [14, 9]], [[10, 0], [19, 9]]]
    rule = InstanceFilters(overlapping_method="iou", overlapping_threshold=0.3)
    kept = filter_instances(poses_of(chain, [0.9, 0.8, 0.7]), rule)
    assert kept.instance_scores_I.tolist() == np.float32([0.9, 0.7]).tolist()


def test_oks_tells_crossed_animals_apart_whose_boxes_are_the_same() -> None:
    crossed = [[[0, 0], [30, 30], [15, 15]], [[0, 30], [30, 0], [15, 15]]]
    poses = poses_of(crossed, [0.9, 0.8])
    assert oks(poses.points_px_IN2[:1], poses.points_px_IN2[1:]).item() < 0.5
    by_box, by_nodes = (
        filter_instances(poses, InstanceFilters(overlapping_method=method))
        for method in ("iou", "oks")
    )
    assert (by_box.instance_count, by_nodes.instance_count) == (1, 2)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"min_visible_nodes": 2}, [0, 1]),
        ({"min_visible_node_fraction": float(np.float32(0.4))}, [0, 1]),
        ({"min_visible_node_fraction": 0.41}, [0]),
        ({"min_mean_node_score": 0.5}, [0, 2]),
        ({"min_instance_score": 0.2}, [0, 1]),
    ],
)
def test_each_minimum_includes_its_own_value(rule, kept) -> None:
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    points[1, 2:], points[2, 1:] = NAN, NAN
    poses = poses_of(points, [0.9, 0.2, 0.1], [[0.5], [0.4], [0.9]])
    left = filter_instances(poses, InstanceFilters(**rule))
    assert as_rows(left) == [as_rows(poses)[row] for row in kept]


@given(frames(), st.integers(1, 9))
def test_the_best_are_as_many_as_asked_for(poses, most) -> None:
    best = best_scored(poses, most)
    assert best.instance_count == min(most, poses.instance_count)
    expected = sorted(poses.instance_scores_I.tolist(), reverse=True)[:most]
    assert sorted(best.instance_scores_I.tolist(), reverse=True) == expected
    assert best_scored(poses, None) is poses


@pytest.mark.parametrize("field", ["min_visible_node_fraction", "overlapping_threshold"])
def test_fractions_outside_their_range_are_refused(field) -> None:
    with pytest.raises(InvalidArgument, match=field):
        InstanceFilters(**{field: 1.5})

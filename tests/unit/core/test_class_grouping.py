"""Laws of grouping by class."""

from itertools import permutations

import numpy as np
import pytest

from shoal_core.class_grouping import ClassGrouping, assign_classes, group_class_parts
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses

NAN = np.nan


def parts(rng: np.random.Generator, nodes: int, places: int, classes: int):
    return (
        rng.uniform(0, 100, (nodes, places, 2)).astype(np.float32),
        rng.uniform(0.3, 1, (nodes, places)).astype(np.float32),
        rng.uniform(0, 1, (nodes, places, classes)).astype(np.float32),
    )


def poses_of(instance_count: int, node_count: int = 3) -> FramePoses:
    points = np.random.default_rng(0).uniform(0, 9, (instance_count, node_count, 2))
    ones = np.ones((instance_count, node_count), np.float32)
    return FramePoses.untracked(3, points.astype(np.float32), ones, ones[:, 0])


@pytest.mark.parametrize(("places", "classes"), [(2, 2), (3, 2), (2, 4), (4, 4)])
def test_each_node_is_assigned_with_the_greatest_summed_probability(places, classes) -> None:
    peaks, values, probabilities = parts(np.random.default_rng(places), 6, places, classes)
    poses = group_class_parts(peaks, values, probabilities)
    for node in range(6):
        got = 0.0
        for row, track in enumerate(poses.track_indices_I):
            point = poses.points_px_IN2[row, node]
            if not np.isnan(point).any():
                place = np.flatnonzero((peaks[node] == point).all(axis=1)).item()
                got += probabilities[node, place, track]
                assert poses.point_scores_IN[row, node] == values[node, place]
        table = probabilities[node] if places <= classes else probabilities[node].T
        best = max(
            sum(table[i, j] for i, j in enumerate(chosen))
            for chosen in permutations(range(table.shape[1]), len(table))
        )
        assert got == pytest.approx(best, rel=1e-6)


def test_an_animal_is_one_class_and_scored_by_its_own_nodes() -> None:
    peaks = np.array([[[1, 1], [2, 2]], [[3, 3], [NAN, NAN]]], np.float32)
    values = np.array([[0.5, 0.9], [0.7, 0]], np.float32)
    probabilities = np.array([[[0.9, 0.2], [0.3, 0.6]], [[0.8, 0.1], [0, 0]]], np.float32)
    poses = group_class_parts(peaks, values, probabilities, frame_index=7)
    assert poses.frame_index == 7
    assert poses.track_indices_I.tolist() == [0, 1]
    np.testing.assert_array_equal(poses.points_px_IN2[0], [[1, 1], [3, 3]])
    np.testing.assert_array_equal(poses.points_px_IN2[1], [[2, 2], [NAN, NAN]])
    assert poses.instance_scores_I == pytest.approx([0.6, 0.9])
    assert poses.tracking_scores_I == pytest.approx([0.85, 0.6])


def test_shuffling_peaks_does_not_change_the_animals() -> None:
    rng = np.random.default_rng(2)
    peaks, values, probabilities = parts(rng, 5, 4, 3)
    order = rng.permutation(4)
    here = group_class_parts(peaks, values, probabilities)
    there = group_class_parts(peaks[:, order], values[:, order], probabilities[:, order])
    np.testing.assert_array_equal(here.points_px_IN2, there.points_px_IN2)


def test_relabelling_classes_relabels_the_tracks() -> None:
    peaks, values, probabilities = parts(np.random.default_rng(3), 5, 3, 3)
    here = group_class_parts(peaks, values, probabilities)
    there = group_class_parts(peaks, values, probabilities[:, :, [2, 0, 1]])
    np.testing.assert_array_equal(here.points_px_IN2[[2, 0, 1]], there.points_px_IN2)


def test_second_choices_are_dropped_on_request() -> None:
    peaks = np.array([[[1, 1], [2, 2]]], np.float32)
    probabilities = np.array([[[0.9, 0.1], [0.8, 0.3]]], np.float32)
    both = group_class_parts(peaks, np.ones((1, 2)), probabilities)
    only = ClassGrouping(only_best_class=True)
    best = group_class_parts(peaks, np.ones((1, 2)), probabilities, grouping=only)
    assert both.track_indices_I.tolist() == [0, 1]
    assert best.track_indices_I.tolist() == [0]


@pytest.mark.parametrize(("weight", "winner"), [(0.0, 0), (1e-4, 1)])
def test_the_surer_of_saturated_peaks_wins_on_request(weight: float, winner: int) -> None:
    peaks = np.array([[[1, 1], [2, 2], [9, 9]]], np.float32)
    values = np.array([[0.4, 0.9, 0.8]], np.float32)
    probabilities = np.array([[[1, 0], [1, 0], [0, 1]]], np.float32)
    poses = group_class_parts(
        peaks, values, probabilities, grouping=ClassGrouping(peak_value_weight=weight)
    )
    assert poses.points_px_IN2[0, 0].tolist() == peaks[0, winner].tolist()


def test_empty_places_do_not_decide_between_equal_peaks() -> None:
    rng = np.random.default_rng(5)
    peaks, values, _ = parts(rng, 4, 7, 2)
    probabilities = rng.integers(0, 2, (4, 7, 2)).astype(np.float32)
    padded = [np.pad(array, [(0, 0), (0, 9), (0, 0)][: array.ndim]) for array in (peaks, values)]
    padded[0][:, 7:] = NAN
    wide = np.pad(probabilities, [(0, 0), (0, 9), (0, 0)])
    here = group_class_parts(peaks, values, probabilities)
    there = group_class_parts(*padded, wide)
    np.testing.assert_array_equal(here.points_px_IN2, there.points_px_IN2)


def test_a_class_without_peaks_has_no_animal() -> None:
    poses = group_class_parts(np.full((4, 2, 2), NAN), np.zeros((4, 2)), np.ones((4, 2, 3)))
    assert poses.points_px_IN2.shape == (0, 4, 2)


def test_instances_get_mutually_exclusive_classes_of_greatest_sum() -> None:
    poses = assign_classes(poses_of(2), np.array([[0.9, 0.9], [0.9, 0.1]], np.float32))
    assert poses.track_indices_I.tolist() == [1, 0]
    assert poses.tracking_scores_I == pytest.approx([0.9, 0.9])


def test_instances_beyond_the_classes_are_dropped() -> None:
    found = poses_of(3)
    poses = assign_classes(found, np.array([[0.9, 0.1], [0.2, 0.1], [0.1, 0.7]]))
    assert poses.track_indices_I.tolist() == [0, 1]
    np.testing.assert_array_equal(poses.points_px_IN2, found.points_px_IN2[[0, 2]])


def test_instances_that_get_their_second_choice_are_dropped() -> None:
    poses = assign_classes(poses_of(2), np.array([[0.9, 0.1], [0.7, 0.3]], np.float32))
    assert poses.track_indices_I.tolist() == [0]
    assert poses.tracking_scores_I == pytest.approx([0.9])


def test_no_instance_is_no_error() -> None:
    assert assign_classes(poses_of(0), np.zeros((0, 2), np.float32)).instance_count == 0


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidArgument) as instances:
        assign_classes(poses_of(2), np.ones((3, 2)))
    with pytest.raises(InvalidArgument) as peaks:
        group_class_parts(np.ones((4, 2, 2)), np.ones((4, 2)), np.ones((4, 3, 2)))
    assert instances.value.reason == peaks.value.reason == "PARTS_SHAPE_INVALID"

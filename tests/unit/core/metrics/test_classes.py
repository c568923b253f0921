"""Laws of the accuracy of identities without tracking."""

from dataclasses import replace

import numpy as np
import pytest

from shoal_core.metrics.classes import class_accuracy
from shoal_core.pose import NO_TRACK, FramePoses

POSE = np.array([[0, 0], [40, 0], [40, 30]], np.float32)


def frame(*classes: int) -> FramePoses:
    points = np.stack([POSE + np.array((300 * row, 0)) for row in range(len(classes))]).astype(
        np.float32
    )
    ones = np.ones(len(classes), np.float32)
    poses = FramePoses.untracked(0, points, np.ones(points.shape[:2], np.float32), ones)
    return replace(poses, track_indices_I=np.array(classes, np.int32))


def test_the_right_names_are_all_on_the_diagonal() -> None:
    result = class_accuracy([(frame(0, 1), frame(0, 1))] * 3, 2)
    assert result.confusion == ((3, 0, 0), (0, 3, 0))
    assert result.accuracy == 1


def test_swapped_names_are_confused_whatever_their_order_in_the_frame() -> None:
    swapped = frame(1, 0)
    for predicted in (swapped, swapped.select(np.array([1, 0]))):
        result = class_accuracy([(frame(0, 1), predicted)], 2)
        assert result.confusion == ((0, 1, 0), (1, 0, 0))
        assert result.accuracy == 0


def test_animals_that_are_missed_or_not_named_are_not_wrong() -> None:
    nobody = frame(0, 1).select(np.array([0]))
    result = class_accuracy([(frame(0, 1), nobody), (frame(0, 1), frame(NO_TRACK, 1))], 2)
    assert result.confusion == ((1, 0, 1), (0, 1, 1))
    assert (result.found_count, result.accuracy) == (2, 1)


def test_true_animals_without_a_name_do_not_count_and_take_no_ones_partner() -> None:
    result = class_accuracy([(frame(NO_TRACK, 1), frame(0, 1))], 2)
    assert result.confusion == ((0, 0, 0), (0, 1, 0))


@pytest.mark.parametrize("classes", [1, 3])
def test_nothing_found_has_no_accuracy(classes: int) -> None:
    empty = frame(0).select(np.zeros(0, np.intp))
    assert class_accuracy([(frame(0), empty)], classes).accuracy == 0

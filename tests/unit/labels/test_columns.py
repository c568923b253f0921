"""Columns that do not fit together are refused before anything is written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_labels.columns import PoseColumns

Make = Callable[..., PoseColumns]

BROKEN: list[tuple[str, Callable[[PoseColumns], Any]]] = [
    ("frame_indices do not increase", lambda c: {"frame_indices_F": c.frame_indices_F[::-1]}),
    ("frame_indices do not increase", lambda c: {"frame_indices_F": c.frame_indices_F * 0}),
    ("frame_indices is int32", lambda c: {"frame_indices_F": c.frame_indices_F.astype(np.int32)}),
    ("instance_counts is", lambda c: {"instance_counts_F": c.instance_counts_F[1:]}),
    ("negative", lambda c: {"instance_counts_F": c.instance_counts_F * -1}),
    ("do not add up", lambda c: {"instance_counts_F": c.instance_counts_F + 1}),
    ("points_px is", lambda c: {"points_px_MN2": c.points_px_MN2[:, :2]}),
    ("points_px is float64", lambda c: {"points_px_MN2": c.points_px_MN2.astype(float)}),
    ("point_scores is", lambda c: {"point_scores_MN": c.point_scores_MN[1:]}),
    ("track_indices is", lambda c: {"track_indices_M": c.track_indices_M[1:]}),
    ("below -1", lambda c: {"track_indices_M": c.track_indices_M - 2}),
    ("tracking_scores is", lambda c: {"tracking_scores_M": c.tracking_scores_M[1:]}),
    ("is_user is", lambda c: {"is_user_M": c.is_user_M[1:]}),
]


@pytest.mark.parametrize(("complaint", "change"), BROKEN)
def test_columns_that_do_not_fit_are_refused(
    complaint: str, change: Callable[[PoseColumns], Any], poses: Make
) -> None:
    columns = poses(list(range(8)))
    with pytest.raises(InvalidArgument, match=complaint) as caught:
        replace(columns, **change(columns)).check(3)
    assert caught.value.reason == "POSES_INVALID"


def test_columns_of_another_skeleton_are_refused(poses: Make) -> None:
    with pytest.raises(InvalidArgument, match="skeleton of 4 nodes"):
        poses([1, 2, 3]).check(4)


@pytest.mark.parametrize("frames", [[], [7], [0, 5, 6]])
def test_columns_that_fit_are_accepted(frames: list[int], poses: Make) -> None:
    poses(frames).check(3)


def test_selecting_frames_keeps_their_instances(poses: Make) -> None:
    columns = poses(list(range(20)))
    kept = columns.select(columns.frame_indices_F % 2 == 0)
    frames_M = np.repeat(columns.frame_indices_F, columns.instance_counts_F)
    kept.check(3)
    np.testing.assert_array_equal(kept.points_px_MN2, columns.points_px_MN2[frames_M % 2 == 0])

"""Poses are drawn where the animals are, in the colour of their track."""

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.skeleton import Skeleton
from shoal_media.rendering import PALETTE, PoseRenderer, RenderStyle

SKELETON = Skeleton("mouse", ("nose", "body", "tail"), ((0, 1), (1, 2)))
FRAME_HWC = np.full((200, 300, 1), 90, np.uint8)
BARE = RenderStyle(trail_frame_count=0)


def poses(points_IN2: object, tracks: list[int], frame_index: int = 0) -> FramePoses:
    points = np.array(points_IN2, np.float32).reshape(-1, 3, 2)
    count = len(points)
    return FramePoses(
        frame_index=frame_index,
        points_px_IN2=points,
        point_scores_IN=np.ones((count, 3), np.float32),
        instance_scores_I=np.ones(count, np.float32),
        track_indices_I=np.array(tracks, np.int32),
        tracking_scores_I=np.ones(count, np.float32),
    )


def changed(drawn_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (drawn_HW3 != 90).any(axis=2)


def nearest_color(pixel_3: NDArray[np.uint8]) -> int:
    return int(np.linalg.norm(np.subtract(PALETTE, pixel_3.astype(int)), axis=1).argmin())


ONE = [[(50, 60), (90, 60), (130, 60)]]


def test_edges_have_the_colour_of_the_track_and_the_frame_stays_unchanged() -> None:
    before = FRAME_HWC.copy()
    drawn_HW3 = PoseRenderer(SKELETON, style=BARE).draw(FRAME_HWC, poses(ONE, [3]))
    assert nearest_color(drawn_HW3[60, 70]) == 3
    assert np.array_equal(FRAME_HWC, before)
    assert drawn_HW3.shape == (200, 300, 3)


def test_nothing_is_drawn_far_from_the_animal() -> None:
    drawn_HW3 = PoseRenderer(SKELETON, style=BARE).draw(FRAME_HWC, poses(ONE, [0]))
    rows, columns = np.nonzero(changed(drawn_HW3))
    assert (rows.min(), rows.max()) >= (54, 60)
    assert rows.max() <= 66
    assert columns.min() >= 44
    assert columns.max() <= 136


def test_drawing_is_centred_on_the_node() -> None:
    lone = [[(100.5, 80.25), (np.nan, np.nan), (np.nan, np.nan)]]
    drawn_HW3 = PoseRenderer(SKELETON, style=RenderStyle(trail_frame_count=0, size=4)).draw(
        FRAME_HWC, poses(lone, [0])
    )
    weight_HW = np.abs(drawn_HW3.astype(float) - 90).sum(axis=2)
    rows, columns = np.indices(weight_HW.shape)
    center = (
        (weight_HW * columns).sum() / weight_HW.sum(),
        (weight_HW * rows).sum() / weight_HW.sum(),
    )
    assert np.abs(np.subtract(center, (100.5, 80.25))).max() < 0.1


def test_missing_nodes_take_their_edges_with_them() -> None:
    gap = [[(50, 60), (np.nan, np.nan), (130, 60)]]
    drawn_HW3 = PoseRenderer(SKELETON, style=BARE).draw(FRAME_HWC, poses(gap, [0]))
    assert not changed(drawn_HW3)[:, 60:120].any()


def test_a_frame_without_animals_is_the_frame_in_rgb() -> None:
    drawn_HW3 = PoseRenderer(SKELETON).draw(FRAME_HWC, poses(np.empty((0, 3, 2)), []))
    assert np.array_equal(drawn_HW3, np.repeat(FRAME_HWC, 3, axis=2))


def test_points_far_outside_the_frame_do_no_harm() -> None:
    far = [[(1e9, -1e9), (-1e9, 1e9), (5e8, 5e8)]]
    drawn_HW3 = PoseRenderer(SKELETON).draw(FRAME_HWC, poses(far, [0]))
    assert drawn_HW3.shape == (200, 300, 3)


def _walk(renderer: PoseRenderer, frames: range) -> NDArray[np.uint8]:
    drawn_HW3 = np.empty(0, np.uint8)
    for index in frames:
        points = np.add(ONE, (0, 3 * index))
        drawn_HW3 = renderer.draw(FRAME_HWC, poses(points, [1], index))
    return drawn_HW3


def test_a_trail_shows_where_the_animal_was_and_fades() -> None:
    drawn_HW3 = _walk(PoseRenderer(SKELETON, style=RenderStyle(trail_frame_count=20)), range(30))
    path = 60 + 3 * np.array([11, 19, 27])  # rows that the body passed 18, 10 and 2 frames ago
    ink = [np.abs(drawn_HW3[row, 90].astype(int) - 90).max() for row in path]
    assert ink[0] < ink[1] < ink[2]
    assert not changed(drawn_HW3)[:85].any()


def test_going_back_clears_the_trails() -> None:
    renderer = PoseRenderer(SKELETON, style=RenderStyle(trail_frame_count=20))
    _walk(renderer, range(30))
    again_HW3 = renderer.draw(FRAME_HWC, poses(ONE, [1], 0))
    fresh_HW3 = PoseRenderer(SKELETON).draw(FRAME_HWC, poses(ONE, [1], 0))
    assert np.array_equal(again_HW3, fresh_HW3)


def test_animals_without_a_track_leave_no_trail() -> None:
    renderer = PoseRenderer(SKELETON)
    renderer.draw(FRAME_HWC, poses(np.add(ONE, (0, 60)), [NO_TRACK], 0))
    drawn_HW3 = renderer.draw(FRAME_HWC, poses(ONE, [NO_TRACK], 1))
    assert not changed(drawn_HW3)[70:].any()


def test_scaling_keeps_the_pose_on_the_animal() -> None:
    drawn_HW3 = PoseRenderer(SKELETON, style=RenderStyle(scale=3, trail_frame_count=0)).draw(
        FRAME_HWC, poses(ONE, [0])
    )
    assert drawn_HW3.shape == (600, 900, 3)
    assert nearest_color(drawn_HW3[181, 211]) == 0


def test_labels_name_the_track_inside_the_frame() -> None:
    corner = [[(2, 2), (6, 2), (10, 2)]]
    style = RenderStyle(trail_frame_count=0, has_labels=True)
    with_label = PoseRenderer(SKELETON, ["anna"], style=style).draw(FRAME_HWC, poses(corner, [0]))
    without = PoseRenderer(SKELETON, style=BARE).draw(FRAME_HWC, poses(corner, [0]))
    assert changed(with_label).sum() > changed(without).sum() + 50


@pytest.mark.parametrize("second", range(1, len(PALETTE)))
def test_neighbouring_colours_of_the_palette_differ(second: int) -> None:
    apart = np.linalg.norm(np.subtract(PALETTE[second], PALETTE[second - 1]))
    assert apart > 90

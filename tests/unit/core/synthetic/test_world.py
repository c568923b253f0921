"""Laws of the synthetic worlds."""

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument, OutOfRange
from shoal_core.pose import NO_TRACK
from shoal_core.synthetic import SKELETON, Observation, SyntheticWorld, WorldConfig, observe


def test_the_same_configuration_is_the_same_world() -> None:
    one, other = (SyntheticWorld(WorldConfig(frame_count=9, seed=5)) for _ in range(2))
    np.testing.assert_array_equal(one.render(7), other.render(7))
    np.testing.assert_array_equal(one.truth(7).points_px_IN2, other.truth(7).points_px_IN2)
    different = SyntheticWorld(WorldConfig(frame_count=9, seed=6))
    assert (different.render(7) != one.render(7)).any()


def test_frames_do_not_depend_on_the_order_in_which_they_are_drawn() -> None:
    world = SyntheticWorld(WorldConfig(frame_count=5))
    forth = [world.render(index) for index in range(5)]
    back = [world.render(index) for index in reversed(range(5))]
    np.testing.assert_array_equal(forth, back[::-1])


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 1), (97, 211, 3), (640, 64, 1)])
def test_frames_have_any_size(height: int, width: int, channels: int) -> None:
    config = WorldConfig(frame_count=2, height_px=height, width_px=width, channels=channels)
    frame = SyntheticWorld(config).render(1)
    assert frame.shape == (height, width, channels)
    assert frame.dtype == np.uint8


def test_bodies_keep_their_size_and_move_smoothly() -> None:
    config = WorldConfig(frame_count=400, animal_count=3, seed=2)
    world = SyntheticWorld(config)
    points = np.array([world.points_px(index) for index in range(400)])
    for a, b in SKELETON.edges[:5]:  # the trunk; tails sway
        lengths = np.linalg.norm(points[:, :, a] - points[:, :, b], axis=2)
        assert lengths.max() < 0.5 * config.body_length
        assert lengths.min() > 0.02 * config.body_length
    steps = np.linalg.norm(np.diff(points[:, :, 4], axis=0), axis=2)
    assert steps.max() < 0.3 * config.body_length
    assert steps.mean() > 0.2 * config.speed


def test_animals_can_be_seen_where_the_truth_says() -> None:
    config = WorldConfig(frame_count=60, animal_count=1, seed=1, channels=3)
    world = SyntheticWorld(config)
    empty = SyntheticWorld(WorldConfig(frame_count=60, animal_count=0, seed=1, channels=3))
    for index in range(0, 60, 10):
        change = np.abs(world.render(index).astype(int) - empty.render(index)).sum(axis=2)
        points = world.truth(index).points_px_IN2[0]
        for x, y in np.rint(points[~np.isnan(points[:, 0])]).astype(int):
            assert change[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].max() > 25


def test_truth_is_all_nodes_less_the_hidden_ones() -> None:
    world = SyntheticWorld(WorldConfig(frame_count=300, animal_count=4, seed=3, shelter_count=2))
    hidden = 0
    for index in range(0, 300, 7):
        truth, everything = world.truth(index), world.points_px(index)
        visible = ~np.isnan(truth.points_px_IN2[..., 0])
        np.testing.assert_array_equal(
            truth.points_px_IN2[visible], everything[truth.track_indices_I][visible]
        )
        np.testing.assert_array_equal(truth.point_scores_IN > 0, visible)
        hidden += everything.shape[0] * everything.shape[1] - visible.sum()
    assert hidden > 0


def test_the_animal_on_top_hides_nodes_of_the_other_and_not_the_reverse() -> None:
    world = SyntheticWorld(WorldConfig(frame_count=1500, seed=4, body_length_px=150))
    missing = np.zeros(2, int)
    for index in range(0, 1500, 3):
        points = world.points_px(index)
        inside = ((points >= 0) & (points <= 383)).all(axis=2)
        truth = world.truth(index)
        seen = np.zeros((2, len(SKELETON.nodes)), bool)
        seen[truth.track_indices_I] = ~np.isnan(truth.points_px_IN2[..., 0])
        missing += (inside & ~seen).sum(axis=1)
    assert missing[0] > 0
    assert missing[1] == 0


def test_nothing_is_seen_under_a_shelter() -> None:
    world = SyntheticWorld(WorldConfig(frame_count=600, animal_count=3, shelter_count=3, seed=8))
    for index in range(0, 600, 20):
        points = world.truth(index).points_px_IN2
        for left, top, right, bottom in world.shelters_px_R4:
            under = (points >= (left, top)).all(axis=2) & (points <= (right, bottom)).all(axis=2)
            assert not under.any()


def test_a_perfect_observation_is_the_truth_in_another_order() -> None:
    truth = SyntheticWorld(WorldConfig(frame_count=4, animal_count=5)).truth(2)
    detections, owners = observe(truth, Observation(), np.random.default_rng(0))
    assert sorted(owners) == sorted(truth.track_indices_I)
    order = [truth.track_indices_I.tolist().index(owner) for owner in owners]
    np.testing.assert_array_equal(detections.points_px_IN2, truth.points_px_IN2[order])
    assert (detections.track_indices_I == NO_TRACK).all()


def test_an_observation_misses_and_invents_at_its_rates() -> None:
    world = SyntheticWorld(WorldConfig(frame_count=400, animal_count=2, seed=1))
    flaws = Observation(missed_animal_rate=0.25, false_animal_rate=0.5)
    rng = np.random.default_rng(1)
    owners = [observe(world.truth(index), flaws, rng)[1] for index in range(400)]
    found = sum((owner >= 0).sum() for owner in owners)
    assert 0.65 < found / 800 < 0.85
    assert 0.4 < sum((owner < 0).any() for owner in owners) / 400 < 0.6


@pytest.mark.parametrize("index", [-1, 3])
def test_frames_outside_the_world_are_refused(index: int) -> None:
    world = SyntheticWorld(WorldConfig(frame_count=3))
    for ask in (world.render, world.truth, world.points_px):
        with pytest.raises(OutOfRange) as error:
            ask(index)
        assert error.value.reason == "FRAME_OUT_OF_RANGE"


@pytest.mark.parametrize("wrong", [{"frame_count": 0}, {"height_px": 0}, {"channels": 2}])
def test_impossible_worlds_are_refused(wrong) -> None:
    with pytest.raises(InvalidArgument) as error:
        WorldConfig(**wrong)
    assert error.value.reason == "WORLD_INVALID"

"""Laws of the window tracker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.synthetic import Observation, SyntheticWorld, WorldConfig, observe
from shoal_core.tracking import Tracker, WindowTracker

SIMILARITIES = ("euclidean", "oks", "centroid", "iou")
BODY = np.array([[0, 0], [10, 4], [20, 8]], np.float32)
TWO = WindowTracker.for_animals(2)


def frame_of(frame_index: int, *places: tuple[float, float] | None, scores=None) -> FramePoses:
    """One stiff animal per place (x, y); None: a detection without a visible node."""
    points = [np.full((3, 2), np.nan) if p is None else BODY + np.float32(p) for p in places]
    points = np.array(points, np.float32).reshape(-1, 3, 2)
    scores = np.ones(len(points), np.float32) if scores is None else np.float32(scores)
    point_scores = np.ones(points.shape[:2], np.float32)
    return FramePoses.untracked(frame_index, points, point_scores, scores)


def track_all(tracker: Tracker, frames: list[FramePoses]) -> list[list[int]]:
    return [tracker.update(frame).track_indices_I.tolist() for frame in frames]


def switches(config: WindowTracker, frames: list[tuple[FramePoses, np.ndarray]]) -> int:
    """How often an animal's track changes, over frames and whose each instance is."""
    tracker = Tracker(config)
    last: dict[int, int] = {}
    count = 0
    for frame, owners in frames:
        for owner, track in zip(owners, tracker.update(frame).track_indices_I, strict=True):
            if owner >= 0 and track != NO_TRACK:
                count += last.get(int(owner), track) != track
                last[int(owner)] = track
    return count


def observed_world(
    flaws: Observation, step: int = 1, **config
) -> list[tuple[FramePoses, np.ndarray]]:
    world = SyntheticWorld(WorldConfig(**config))
    rng = np.random.default_rng(0)
    return [observe(world.truth(i), flaws, rng) for i in range(0, world.frame_count, step)]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("assignment", ["hungarian", "greedy"])
def test_animals_that_move_slowly_keep_their_tracks(similarity, assignment) -> None:
    config = WindowTracker(similarity=similarity, assignment=assignment)
    frames = [frame_of(i, (3 * i, 0), (100 - 2 * i, 60)) for i in range(30)]
    assert track_all(Tracker(config), frames) == [[0, 1]] * 30


def test_the_order_of_instances_does_not_matter() -> None:
    frames = [frame_of(i, (3 * i, 0), (100, 60), (50, 200)) for i in range(20)]
    rng = np.random.default_rng(1)
    orders = [rng.permutation(3) for _ in frames]
    here, there = Tracker(WindowTracker()), Tracker(WindowTracker())
    for frame, order in zip(frames, [np.arange(3), *orders[1:]], strict=True):
        mine = here.update(frame).track_indices_I
        assert there.update(frame.select(order)).track_indices_I.tolist() == mine[order].tolist()


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_moving_the_whole_scene_does_not_matter(similarity) -> None:
    config = replace(WindowTracker.for_animals(3), similarity=similarity)
    frames = [
        f for f, _ in observed_world(Observation(2, 0.1, 0.1, 0.1), frame_count=80, animal_count=3)
    ]
    moved = [replace(f, points_px_IN2=f.points_px_IN2 + np.float32((512, 256))) for f in frames]
    assert track_all(Tracker(config), frames) == track_all(Tracker(config), moved)


@pytest.mark.parametrize("gap", [1, 3, 5])
@pytest.mark.parametrize("config", [WindowTracker(), TWO])
def test_identities_survive_an_occlusion_shorter_than_the_window(config, gap: int) -> None:
    seen = [frame_of(i, (0, 0), (100, 60)) for i in range(5)]
    hidden = [frame_of(i, (0, 0)) for i in range(5, 4 + gap)]
    back = [frame_of(20, (104, 62), (0, 0))]
    assert track_all(Tracker(config), seen + hidden + back)[-1] == [1, 0]


def test_a_track_lost_for_longer_than_the_window_does_not_come_back() -> None:
    tracker = Tracker(WindowTracker(window=3))
    frames = [frame_of(0, (0, 0), (100, 60)), *(frame_of(i, (0, 0)) for i in range(1, 5))]
    assert track_all(tracker, [*frames, frame_of(5, (0, 0), (100, 60))])[-1] == [0, 2]
    assert tracker.track_count == 3


def test_with_a_known_number_of_animals_a_lost_track_always_comes_back() -> None:
    tracker = Tracker(TWO)
    frames = [frame_of(0, (0, 0), (100, 60)), *(frame_of(i, (0, 0)) for i in range(1, 200))]
    assert track_all(tracker, [*frames, frame_of(200, (900, 700), (2, 0))])[-1] == [1, 0]
    assert tracker.track_count == 2


def test_no_more_tracks_than_the_maximum_and_the_surplus_stays_untracked() -> None:
    tracker = Tracker(WindowTracker(max_tracks=2))
    frame = frame_of(0, (0, 0), (300, 0), (0, 300), scores=[0.5, 0.9, 0.8])
    assert tracker.update(frame).track_indices_I.tolist() == [NO_TRACK, 0, 1]
    assert track_all(tracker, [frame_of(1, (0, 300), (0, 0), (300, 0))]) == [[1, NO_TRACK, 0]]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_no_track_appears_twice_in_a_frame(similarity) -> None:
    flaws = Observation(
        jitter_px=3, missed_node_rate=0.2, missed_animal_rate=0.2, false_animal_rate=0.3
    )
    frames = observed_world(flaws, frame_count=300, animal_count=5, seed=2)
    for config in (WindowTracker(similarity=similarity), WindowTracker(max_tracks=4)):
        tracker = Tracker(config)
        for frame, _ in frames:
            tracks = tracker.update(frame).track_indices_I
            tracks = tracks[tracks != NO_TRACK]
            assert len(np.unique(tracks)) == len(tracks)
            assert (tracks < tracker.track_count).all()


def test_only_the_best_instances_are_kept() -> None:
    frame = frame_of(0, (0, 0), (300, 0), (0, 300), scores=[0.5, 0.9, 0.8])
    kept = Tracker(WindowTracker(target_instance_count=2)).update(frame)
    assert kept.instance_scores_I == pytest.approx([0.9, 0.8])


def test_a_second_detection_of_one_animal_does_not_push_out_the_other_animal() -> None:
    frame = frame_of(0, (0, 0), (1, 0), (300, 0), scores=[0.9, 0.8, 0.3])
    kept = Tracker(TWO).update(frame)
    assert kept.instance_scores_I == pytest.approx([0.9, 0.3])


def test_the_best_score_opens_the_first_track() -> None:
    frame = frame_of(0, (0, 0), (300, 0), scores=[0.2, 0.9])
    assert Tracker(WindowTracker()).update(frame).track_indices_I.tolist() == [1, 0]


def test_tracking_scores_are_the_similarity() -> None:
    tracker = Tracker(WindowTracker())
    assert tracker.update(frame_of(0, (0, 0))).tracking_scores_I.tolist() == [0]
    assert tracker.update(frame_of(1, (0, 0))).tracking_scores_I.tolist() == [1]
    size = np.hypot(20, 8)
    moved = tracker.update(frame_of(2, (10, 0)))
    assert moved.tracking_scores_I == pytest.approx([np.exp(-10 / size)], rel=1e-5)


def test_an_animal_that_jumps_opens_a_new_track_unless_their_number_is_known() -> None:
    frames = [frame_of(0, (0, 0)), frame_of(1, (500, 500))]
    assert track_all(Tracker(WindowTracker()), frames) == [[0], [1]]
    assert track_all(Tracker(WindowTracker.for_animals(1)), frames) == [[0], [0]]


def test_a_node_missing_for_a_frame_is_remembered() -> None:
    head_only, tail_only = frame_of(1, (0, 0)), frame_of(2, (0, 0))
    head_only.points_px_IN2[0, 1:] = np.nan
    tail_only.points_px_IN2[0, :2] = np.nan
    tracker = Tracker(WindowTracker())
    assert track_all(tracker, [frame_of(0, (0, 0)), head_only, tail_only]) == [[0], [0], [0]]
    assert tracker.update(frame_of(3, (0, 0))).tracking_scores_I.tolist() == [1]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_instances_without_a_visible_node_stay_untracked(similarity) -> None:
    tracker = Tracker(WindowTracker(similarity=similarity))
    frames = [frame_of(0, None, (0, 0)), frame_of(1, (0, 0), None), frame_of(2), frame_of(3, None)]
    assert track_all(tracker, frames) == [[NO_TRACK, 0], [0, NO_TRACK], [], [NO_TRACK]]


@pytest.mark.parametrize("step", [1, 3])
def test_crossing_animals_keep_their_identities(step: int) -> None:
    frames = observed_world(
        Observation(jitter_px=1), step, frame_count=900, animal_count=3, seed=1, body_length_px=100
    )
    assert switches(WindowTracker.for_animals(3), frames) == 0


def test_animals_under_shelters_come_out_as_themselves() -> None:
    frames = observed_world(
        Observation(jitter_px=1), frame_count=900, animal_count=2, seed=7, shelter_count=3
    )
    assert switches(TWO, frames) == 0


@pytest.mark.parametrize("config", [WindowTracker(), TWO, replace(TWO, similarity="oks")])
def test_a_tracker_restored_from_its_state_goes_on_identically(config) -> None:
    flaws = Observation(jitter_px=2, missed_animal_rate=0.2, false_animal_rate=0.2)
    frames = [frame for frame, _ in observed_world(flaws, frame_count=120)]
    straight = Tracker(config)
    whole = track_all(straight, frames)
    first = Tracker(config)
    halves = track_all(first, frames[:60])
    second = Tracker.from_state(config, first.state())
    assert halves + track_all(second, frames[60:]) == whole
    for name, array in straight.state().items():
        np.testing.assert_array_equal(array, second.state()[name])


def test_a_fresh_tracker_has_a_state_too() -> None:
    tracker = Tracker.from_state(TWO, Tracker(TWO).state())
    assert track_all(tracker, [frame_of(0, (0, 0))]) == [[0]]


def test_the_state_stays_small_over_a_long_video() -> None:
    tracker = Tracker(WindowTracker(window=2))
    for index in range(500):
        tracker.update(frame_of(index, (1000 * (index % 7), 1000 * (index % 11))))
    assert tracker.track_count == 500
    assert len(tracker.state()["indices_T"]) <= 3


@pytest.mark.parametrize("second", [4, 3, -1])
def test_frames_out_of_order_are_refused_and_change_nothing(second: int) -> None:
    tracker = Tracker(TWO)
    tracker.update(frame_of(4, (0, 0)))
    with pytest.raises(InvalidArgument) as error:
        tracker.update(frame_of(second, (0, 0)))
    assert error.value.reason == "FRAME_OUT_OF_ORDER"
    assert error.value.metadata == {"frame_index": str(second), "last_frame_index": "4"}
    assert tracker.update(frame_of(5, (0, 0))).track_indices_I.tolist() == [0]


def test_another_skeleton_is_refused() -> None:
    tracker = Tracker(TWO)
    tracker.update(frame_of(0, (0, 0)))
    points = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(InvalidArgument) as error:
        tracker.update(FramePoses.untracked(1, points, points[..., 0], points[:, 0, 0]))
    assert error.value.reason == "NODE_COUNT_CHANGED"


@pytest.mark.parametrize(
    "wrong",
    [{"window": 0}, {"max_tracks": 0}, {"target_instance_count": 0}, {"min_similarity": 1.5}],
)
def test_parameters_outside_their_range_are_refused(wrong) -> None:
    with pytest.raises(InvalidArgument) as error:
        WindowTracker(**wrong)
    assert error.value.reason == "TRACKER_INVALID"


def test_a_damaged_state_is_refused() -> None:
    tracker = Tracker(TWO)
    tracker.update(frame_of(0, (0, 0), (90, 0)))
    state = tracker.state()
    for damaged in (
        {name: array for name, array in state.items() if name != "seen_T"},
        {**state, "seen_T": state["seen_T"][:1]},
        {**state, "counters": state["counters"][:2]},
    ):
        with pytest.raises(InvalidArgument) as error:
            Tracker.from_state(TWO, damaged)
        assert error.value.reason == "TRACKER_STATE_INVALID"


@pytest.mark.parametrize("name", ["clip.train.slp", "clip.2node.train.slp"])
@pytest.mark.parametrize("step", [1, 5, 20])
def test_two_courting_flies_keep_their_identities(shared_data: Path, name: str, step: int) -> None:
    import sleap_io

    labels = sleap_io.load_slp(str(shared_data / "flies_clip" / name), open_videos=False)
    frames = []
    for labeled in sorted(labels, key=lambda labeled: labeled.frame_idx)[::step]:
        points = np.array([i.numpy() for i in labeled.instances], np.float32)
        ones = np.ones(points.shape[:2], np.float32)
        owners = np.array([labels.tracks.index(i.track) for i in labeled.instances])
        frame = FramePoses.untracked(int(labeled.frame_idx), points, ones, ones[:, 0])
        frames.append((frame, owners))
    assert len(frames) == 1000 // step
    assert switches(TWO, frames) == 0

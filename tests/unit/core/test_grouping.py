"""Laws of bottom-up grouping."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_core.errors import InvalidArgument
from shoal_core.grouping import PartGrouping, group_parts
from shoal_core.pafs import edge_scores
from shoal_core.peaks import local_peaks, pad_peaks, refine_integral
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.targets import confidence_maps, part_affinity_fields

FRAME = (1000, 1200)


@dataclass(frozen=True)
class Scene:
    """Animals with known nodes, and the peaks and scores that a good model gives for them."""

    skeleton: Skeleton
    points: np.ndarray
    """(I, N, 2), NaN where missing."""
    peaks: np.ndarray
    values: np.ndarray
    scores: np.ndarray


def random_edges(rng: np.random.Generator, node_count: int) -> tuple[tuple[int, int], ...]:
    """A random tree: random shape, labels, directions and order of edges."""
    labels = rng.permutation(node_count)
    edges = [(labels[rng.integers(child)], labels[child]) for child in range(1, node_count)]
    edges = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in edges]
    return tuple((int(a), int(b)) for a, b in (edges[i] for i in rng.permutation(len(edges))))


def skeleton_of(node_count: int, edges: tuple[tuple[int, int], ...]) -> Skeleton:
    return Skeleton("animal", tuple(f"n{i}" for i in range(node_count)), edges)


def make_scene(
    seed: int,
    node_count: int,
    animal_count: int,
    missing: float,
    edges: tuple[tuple[int, int], ...] | None = None,
) -> Scene:
    rng = np.random.default_rng(seed)
    skeleton = skeleton_of(node_count, random_edges(rng, node_count) if edges is None else edges)
    points = rng.uniform(0, 250, (animal_count, node_count, 2)).astype(np.float32)
    points[rng.random((animal_count, node_count)) < missing] = np.nan
    places = animal_count + 2
    peaks = np.full((node_count, places, 2), np.nan, np.float32)
    values = np.zeros((node_count, places), np.float32)
    owners = np.full((node_count, places), -1)
    for node in range(node_count):
        visible = rng.permutation(np.flatnonzero(~np.isnan(points[:, node, 0])))
        peaks[node, : len(visible)] = points[visible, node]
        values[node, : len(visible)] = rng.uniform(0.5, 1, len(visible))
        owners[node, : len(visible)] = visible
    # With every node visible a false pair may even pass the threshold: the matching decides.
    likeliest_lie = 0.6 if missing == 0 else 0.24
    scores = rng.uniform(-0.3, likeliest_lie, (len(skeleton.edges), places, places)).astype(
        np.float32
    )
    for edge, (source, destination) in enumerate(skeleton.edges):
        mine = (owners[source][:, None] == owners[destination]) & (owners[source] >= 0)[:, None]
        scores[edge][mine] = rng.uniform(0.8, 1, mine.sum())
    return Scene(skeleton, points, peaks, values, scores)


def group(scene: Scene, **parameters) -> FramePoses:
    return group_parts(
        scene.peaks,
        scene.values,
        scene.scores,
        skeleton=scene.skeleton,
        frame_size_px=FRAME,
        grouping=PartGrouping(**parameters),
    )


def as_set(points_IN2: np.ndarray) -> set[bytes]:
    return {np.nan_to_num(points, nan=-1).astype(np.float32).tobytes() for points in points_IN2}


def expected_parts(scene: Scene) -> np.ndarray:
    """What is left of each animal: the connected pieces of its visible nodes."""
    pieces = []
    for points in scene.points:
        unseen = {int(node) for node in np.flatnonzero(~np.isnan(points[:, 0]))}
        while unseen:
            piece, frontier = set(), {unseen.pop()}
            while frontier:
                node = frontier.pop()
                piece.add(node)
                for a, b in scene.skeleton.edges:
                    for here, there in ((a, b), (b, a)):
                        if here == node and there in unseen:
                            unseen.discard(there)
                            frontier.add(there)
            if len(piece) > 1:
                part = np.full_like(points, np.nan)
                part[sorted(piece)] = points[sorted(piece)]
                pieces.append(part)
    return np.array(pieces).reshape(-1, *scene.points.shape[1:])


scenes = st.builds(
    make_scene,
    seed=st.integers(0, 2**32 - 1),
    node_count=st.integers(2, 13),
    animal_count=st.integers(0, 7),
    missing=st.sampled_from([0.0, 0.1, 0.4]),
)


@settings(max_examples=150, deadline=None)
@given(scenes)
def test_any_tree_any_number_of_animals_and_missing_nodes_come_back(scene: Scene) -> None:
    poses = group(scene)
    expected = expected_parts(scene)
    assert as_set(poses.points_px_IN2) == as_set(expected)
    assert poses.instance_count == len(expected)
    np.testing.assert_array_equal(
        poses.point_scores_IN > 0, ~np.isnan(poses.points_px_IN2).any(axis=2)
    )


@settings(max_examples=60, deadline=None)
@given(scenes, st.integers(0, 1000))
def test_the_order_of_edges_peaks_and_directions_does_not_matter(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(scene.skeleton.edges))
    turned = rng.random(len(order)) < 0.5
    edges = tuple(
        scene.skeleton.edges[e][::-1] if turned[e] else scene.skeleton.edges[e] for e in order
    )
    scores = np.stack([scene.scores[e].T if turned[e] else scene.scores[e] for e in order])
    places = rng.permutation(scene.peaks.shape[1])
    shuffled = Scene(
        replace(scene.skeleton, edges=edges),
        scene.points,
        scene.peaks[:, places],
        scene.values[:, places],
        scores[:, places][:, :, places],
    )
    here, there = group(scene), group(shuffled)
    assert as_set(here.points_px_IN2) == as_set(there.points_px_IN2)
    np.testing.assert_allclose(here.instance_scores_I, there.instance_scores_I, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    node_count=st.integers(1, 8),
    edge_seed=st.integers(0, 2**32 - 1),
)
def test_cycles_forests_and_isolated_nodes_never_repeat_a_peak(
    seed: int, node_count: int, edge_seed: int
) -> None:
    rng = np.random.default_rng(edge_seed)
    pairs = [(a, b) for a in range(node_count) for b in range(node_count) if a != b]
    chosen = rng.permutation(len(pairs))[: rng.integers(0, len(pairs) + 1)]
    scene = make_scene(seed, node_count, 4, 0.2, tuple(pairs[i] for i in chosen))
    poses = group(replace(scene, scores=rng.uniform(-1, 1, scene.scores.shape)))
    visible = poses.points_px_IN2[~np.isnan(poses.points_px_IN2).any(axis=2)]
    assert len(visible) == len(np.unique(visible, axis=0))


def test_a_cycle_of_true_connections_is_one_animal() -> None:
    scene = make_scene(1, 4, 3, 0.0, ((0, 1), (1, 2), (2, 3), (3, 0)))
    assert as_set(group(scene).points_px_IN2) == as_set(scene.points)


def test_on_conflict_in_a_cycle_the_better_connections_stand() -> None:
    scene = make_scene(2, 3, 2, 0.0, ((0, 1), (1, 2), (2, 0)))
    swapped = scene.scores.copy()
    swapped[2] = np.where(swapped[2] > 0.75, 0.0, 0.7)  # the closing edge lies, but says less
    assert as_set(group(replace(scene, scores=swapped)).points_px_IN2) == as_set(scene.points)


def test_the_instance_score_is_the_sum_of_its_connections() -> None:
    scene = make_scene(3, 5, 1, 0.0)
    total = sum(scene.scores[edge, 0, 0] for edge in range(4))
    assert group(scene).instance_scores_I == pytest.approx([total], rel=1e-6)


def test_instances_come_by_falling_score_and_untracked() -> None:
    poses = group(make_scene(4, 6, 5, 0.1))
    assert (np.diff(poses.instance_scores_I) <= 0).all()
    assert (poses.track_indices_I == NO_TRACK).all()


def test_long_edges_pay_the_distance_penalty() -> None:
    skeleton = skeleton_of(2, ((0, 1),))
    peaks = np.array([[[0.0, 0.0]], [[900.0, 0.0]]])
    parts = {
        "peaks_px_NP2": peaks,
        "peak_values_NP": np.ones((2, 1)),
        "edge_scores_EPP": np.full((1, 1, 1), 0.9),
        "skeleton": skeleton,
        "frame_size_px": FRAME,
    }
    # Longest free edge 0.25 · 1200 = 300 px: the penalty is 300 / 900 − 1.
    kept = group_parts(**parts, grouping=PartGrouping(min_line_scores=0.2))
    assert kept.instance_scores_I == pytest.approx([0.9 - 2 / 3], rel=1e-5)
    assert group_parts(**parts).instance_count == 0
    free = group_parts(**parts, grouping=PartGrouping(dist_penalty_weight=0))
    assert free.instance_scores_I == pytest.approx([0.9])


@pytest.mark.parametrize(
    ("fewest", "left"), [(0, 2), (3, 1), (0.6, 1), (0.59, 2), (1.0, 2), (5, 1), (6, 0)]
)
def test_small_instances_are_dropped_by_count_or_fraction(fewest: float, left: int) -> None:
    scene = make_scene(5, 5, 2, 0.0, ((0, 1), (1, 2), (2, 3), (3, 4)))
    peaks = scene.peaks.copy()
    second = np.argmax((scene.peaks[2] == scene.points[1, 2]).all(axis=1))
    keep = 1 - second
    peaks[2, [0, 1]] = [peaks[2, keep], [np.nan, np.nan]]
    scores = scene.scores.copy()
    scores[1][:, 0], scores[2][0] = scores[1][:, keep].copy(), scores[2][keep].copy()
    # Animal 1 without node 2 falls into pieces of two nodes each.
    poses = group(replace(scene, peaks=peaks, scores=scores), min_instance_peaks=fewest)
    assert poses.instance_count == (3 if left == 2 else left)


def test_without_edges_every_peak_is_an_animal() -> None:
    scene = make_scene(7, 1, 3, 0.0, ())
    poses = group(scene)
    assert as_set(poses.points_px_IN2) == as_set(scene.points)
    np.testing.assert_array_equal(poses.instance_scores_I, poses.point_scores_IN[:, 0])


def test_a_negative_line_score_threshold_still_joins_negative_scores() -> None:
    scene = make_scene(8, 2, 1, 0.0)
    low = replace(scene, scores=np.full_like(scene.scores, -0.5))
    assert group(low).instance_count == 0
    assert group(low, min_line_scores=-1).instance_count == 1


def test_nothing_found_is_an_empty_frame() -> None:
    poses = group(make_scene(9, 5, 0, 0.0))
    assert poses.points_px_IN2.shape == (0, 5, 2)
    assert poses.instance_scores_I.dtype == np.float32


@pytest.mark.parametrize("animal_count", [1, 2, 6])
def test_drawn_maps_give_their_animals_back(animal_count: int) -> None:
    """The whole chain: targets, peaks, refinement, line scores, grouping."""
    rng = np.random.default_rng(animal_count)
    skeleton = skeleton_of(4, ((1, 0), (1, 2), (2, 3)))
    body = np.array([[0, 0], [12, 2], [24, -2], [36, 3]], np.float32)
    rows = np.arange(animal_count)[:, None, None]
    points = body + rng.uniform(4, 10, (animal_count, 1, 2)) + rows * np.float32([4, 18])
    size = (130, 80)
    maps = confidence_maps(points, size, output_stride=1, sigma_map_px=0.9)[None]
    fields = part_affinity_fields(points, skeleton.edges, size, output_stride=1, sigma_px=10)[None]
    peaks = pad_peaks(refine_integral(maps, local_peaks(maps)), 1, 4, animal_count + 1)
    scores = edge_scores(fields, peaks.peaks_BNP2, skeleton.edges)
    poses = group_parts(
        peaks.peaks_BNP2[0],
        peaks.peak_values_BNP[0],
        scores[0],
        skeleton=skeleton,
        frame_size_px=size,
    )
    assert poses.instance_count == animal_count
    order = np.argsort(poses.points_px_IN2[:, 1, 1])
    truth = points[np.argsort(points[:, 1, 1])]
    np.testing.assert_allclose(poses.points_px_IN2[order], truth, atol=0.06)


def test_arrays_that_do_not_fit_the_skeleton_are_refused() -> None:
    scene = make_scene(10, 4, 2, 0.0)
    with pytest.raises(InvalidArgument, match="do not fit skeleton") as error:
        group(replace(scene, scores=scene.scores[:1]))
    assert error.value.reason == "PARTS_SHAPE_INVALID"


@pytest.mark.parametrize("wrong", [{"max_edge_length_ratio": 0}, {"dist_penalty_weight": -1}])
def test_parameters_outside_their_range_are_refused(wrong) -> None:
    with pytest.raises(InvalidArgument) as error:
        PartGrouping(**wrong)
    assert error.value.reason == "GROUPING_INVALID"

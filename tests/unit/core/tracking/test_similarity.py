"""Laws of the pose similarities."""

import numpy as np
import pytest

from shoal_core.tracking.similarity import OKS_SIGMA, pose_similarities

KINDS = ("euclidean", "oks", "centroid", "iou")
NAN = np.nan


def poses(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    body = rng.uniform(0, 40, (count, 4, 2)) + rng.uniform(0, 300, (count, 1, 2))
    return body.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pose_is_most_similar_to_itself(kind) -> None:
    points = poses(0, 6)
    similarity = pose_similarities(kind, points, points, np.full(6, 50.0))
    assert np.diag(similarity) == pytest.approx(np.ones(6))
    assert (similarity <= 1 + 1e-6).all()
    assert (similarity >= 0).all()
    assert (similarity.argmax(axis=1) == np.arange(6)).all()


@pytest.mark.parametrize("kind", ["euclidean", "oks", "centroid"])
def test_scaling_the_scene_does_not_change_similarities(kind) -> None:
    points, tracks = poses(1, 3), poses(2, 4)
    sizes = np.full(4, 50.0)
    here = pose_similarities(kind, points, tracks, sizes)
    there = pose_similarities(kind, 3 * points, 3 * tracks, 3 * sizes)
    np.testing.assert_allclose(here, there, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("euclidean", np.exp(-0.5)),
        ("oks", np.exp(-(0.5**2) / (2 * (2 * OKS_SIGMA) ** 2))),
        ("centroid", np.exp(-0.5)),
    ],
)
def test_a_shift_of_half_a_body_gives_the_formula(kind, expected: float) -> None:
    points = poses(3, 1)
    shifted = points + np.float32((20, 0))
    assert pose_similarities(kind, shifted, points, np.array([40.0])).item() == pytest.approx(
        expected, rel=1e-4
    )


def test_the_overlap_of_boxes_is_their_intersection_over_their_union() -> None:
    square = np.array([[[0, 0], [9, 9]]], np.float32)
    moved = square + np.float32((5, 0))
    assert pose_similarities("iou", moved, square, np.ones(1)).item() == pytest.approx(50 / 150)


@pytest.mark.parametrize("kind", ["euclidean", "oks"])
def test_only_common_nodes_are_compared(kind) -> None:
    track = np.array([[[0, 0], [10, 0], [NAN, NAN]]], np.float32)
    pose = np.array([[[0, 0], [NAN, NAN], [99, 99]]], np.float32)
    assert pose_similarities(kind, pose, track, np.array([10.0])).item() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["euclidean", "oks"])
def test_without_a_common_node_centroids_decide_at_half_weight(kind) -> None:
    track = np.array([[[0, 0], [NAN, NAN]]], np.float32)
    pose = np.array([[[NAN, NAN], [10, 0]]], np.float32)
    assert pose_similarities(kind, pose, track, np.array([10.0])).item() == pytest.approx(
        0.5 * np.exp(-1), rel=1e-5
    )

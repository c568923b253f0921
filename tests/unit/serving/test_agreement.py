import numpy as np
import pytest

from shoal_core.pose import FramePoses
from shoal_serving.agreement import Disagreement, agreement

NODES = 40


def poses(points_IN2: np.ndarray, tracks: list[int] | None = None) -> FramePoses:
    shape = points_IN2.shape[:2]
    found = FramePoses.untracked(
        0,
        points_IN2.astype(np.float32),
        np.ones(shape, np.float32),
        np.ones(shape[0], np.float32),
    )
    if tracks is not None:
        found.track_indices_I[:] = tracks
    return found


@pytest.fixture
def animals() -> np.ndarray:
    """Three animals a hundred pixels apart, [I, N, 2]."""
    random = np.random.default_rng(0)
    return np.arange(3)[:, None, None] * 100.0 + random.random((3, NODES, 2)) * 20


def test_the_same_agrees_exactly_in_any_order(animals: np.ndarray) -> None:
    parity = agreement([poses(animals)], [poses(animals[::-1])])
    assert (parity.instance_count, parity.node_count) == (3, 3 * NODES)
    assert (parity.median_px, parity.p99_px) == (0, 0)


def test_a_shift_is_measured(animals: np.ndarray) -> None:
    parity = agreement([poses(animals)], [poses(animals + np.array([0.03, 0.04]))])
    assert parity.median_px == pytest.approx(0.05, abs=1e-4)


def test_too_large_a_shift_is_refused_with_its_figures(animals: np.ndarray) -> None:
    with pytest.raises(Disagreement, match=r"0\.141 px off in the median") as caught:
        agreement([poses(animals)], [poses(animals + 0.1)])
    assert caught.value.parity is not None
    assert caught.value.parity.median_px == pytest.approx(0.1414, abs=1e-3)


def test_a_few_nodes_far_off_are_refused(animals: np.ndarray) -> None:
    moved = animals.copy()
    moved[0, :2] += 5
    with pytest.raises(Disagreement, match="at the 99th percentile"):
        agreement([poses(animals)], [poses(moved)])


def test_an_animal_more_or_less_is_refused(animals: np.ndarray) -> None:
    for right, other in [(animals, animals[:2]), (animals[:2], animals)]:
        with pytest.raises(Disagreement, match="instances in frame 1") as caught:
            agreement([poses(animals), poses(right)], [poses(animals), poses(other)])
        assert caught.value.parity is None


def test_a_node_that_only_one_side_finds_is_infinitely_far(animals: np.ndarray) -> None:
    without = animals.copy()
    without[:, :2] = np.nan
    with pytest.raises(Disagreement, match="inf px"):
        agreement([poses(animals)], [poses(without)])
    parity = agreement([poses(without)], [poses(without)])
    assert parity.node_count == 3 * (NODES - 2)


def test_another_identity_is_refused_by_name(animals: np.ndarray) -> None:
    with pytest.raises(Disagreement, match="for female, male, none instead of male, female, none"):
        agreement([poses(animals, [1, 0, -1])], [poses(animals, [0, 1, -1])], ("female", "male"))


def test_nothing_found_on_both_sides_compares_nothing() -> None:
    nothing = poses(np.empty((0, NODES, 2)))
    assert agreement([nothing], [nothing]).node_count == 0

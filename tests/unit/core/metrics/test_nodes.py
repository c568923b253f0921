"""Laws of the accuracy by node."""

from dataclasses import replace

import numpy as np
import pytest

from shoal_core.metrics.evaluation import evaluate
from shoal_core.metrics.nodes import node_accuracy
from shoal_core.synthetic import SyntheticWorld, WorldConfig


@pytest.fixture(scope="module")
def truth():
    world = SyntheticWorld(WorldConfig(frame_count=20, animal_count=2, seed=3))
    return [world.truth(index) for index in range(20)]


def moved(frame, node: int, step_px: float):
    points_IN2 = frame.points_px_IN2.copy()
    points_IN2[:, node, 0] += step_px
    return replace(frame, points_px_IN2=points_IN2)


def test_an_error_of_one_node_is_that_nodes_alone(truth) -> None:
    pairs = [(frame, moved(frame, 1, 3.5)) for frame in truth]
    nodes = node_accuracy(pairs, [f"n{i}" for i in range(truth[0].points_px_IN2.shape[1])])
    assert [node.dist_p95_px for node in nodes] == pytest.approx(
        [0, 3.5] + [0] * (len(nodes) - 2), abs=1e-4
    )
    # Seven of the ten radii, 4 to 10 px, exceed 3.5 px.
    assert [node.pck_mean for node in nodes] == pytest.approx([1, 0.7] + [1] * (len(nodes) - 2))


def test_counts_of_nodes_add_up_to_visibility(truth) -> None:
    hidden = [frame.points_px_IN2.copy() for frame in truth]
    for points_IN2 in hidden:
        points_IN2[0, 2] = np.nan
    pairs = [
        (frame, replace(frame, points_px_IN2=points))
        for frame, points in zip(truth, hidden, strict=True)
    ]
    nodes = node_accuracy(pairs, [str(i) for i in range(truth[0].points_px_IN2.shape[1])])
    assert [node.visibility_recall for node in nodes[:4]] == pytest.approx([1, 1, 0.5, 1])
    found, labelled = (
        sum(getattr(n, name) for n in nodes) for name in ("found_count", "truth_count")
    )
    assert evaluate(pairs).visibility_recall == pytest.approx(found / labelled)


def test_a_node_that_nobody_has_has_no_distance(truth) -> None:
    points_IN2 = truth[0].points_px_IN2.copy()
    points_IN2[:, 0] = np.nan
    frame = replace(truth[0], points_px_IN2=points_IN2)
    first = node_accuracy([(frame, frame)], [str(i) for i in range(points_IN2.shape[1])])[0]
    assert (first.truth_count, first.dist_p50_px, first.pck_mean) == (0, None, 0)

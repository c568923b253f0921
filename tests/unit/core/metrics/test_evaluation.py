"""Laws of the evaluation of predictions."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_core.metrics import evaluate, pair_frames
from shoal_core.pose import FramePoses
from shoal_core.synthetic import Observation, SyntheticWorld, WorldConfig, observe


@pytest.fixture(scope="module")
def truth() -> list[FramePoses]:
    world = SyntheticWorld(WorldConfig(frame_count=40, animal_count=3, seed=1))
    return [world.truth(index) for index in range(40)]


def observed(truth: list[FramePoses], flaws: Observation, seed: int = 0) -> list[FramePoses]:
    rng = np.random.default_rng(seed)
    return [observe(frame, flaws, rng)[0] for frame in truth]


def test_perfect_predictions_are_perfect(truth) -> None:
    result = evaluate(pair_frames(truth, observed(truth, Observation())))
    assert (result.map, result.mar, result.oks_mean) == pytest.approx((1, 1, 1))
    assert result.dist_mean_px == result.dist_p95_px == 0
    assert result.pck_mean == result.visibility_precision == result.visibility_recall == 1
    assert result.missed_count == 0
    assert result.matched_count == sum(frame.instance_count for frame in truth)


def test_the_keys_are_those_of_the_command(truth) -> None:
    keys = (
        "map mar oks_mean dist_mean_px dist_p50_px dist_p95_px pck_mean pck visibility_precision "
        "visibility_recall matched_count missed_count"
    )
    assert list(asdict(evaluate(pair_frames(truth, truth)))) == keys.split()


def test_jitter_shows_in_the_distances(truth) -> None:
    result = evaluate(pair_frames(truth, observed(truth, Observation(jitter_px=2))))
    assert result.dist_mean_px == pytest.approx(2 * np.sqrt(np.pi / 2), rel=0.05)
    assert result.dist_p50_px == pytest.approx(2 * np.sqrt(2 * np.log(2)), rel=0.08)
    assert 0 < result.map < 1


def test_the_order_of_frames_and_instances_does_not_matter(truth) -> None:
    predicted = observed(truth, Observation(2, 0.1, 0.1, 0.1))
    shuffled = [frame.select(np.arange(frame.instance_count)[::-1]) for frame in predicted[::-1]]
    here = asdict(evaluate(pair_frames(truth, predicted)))
    there = asdict(evaluate(pair_frames(truth[::-1], shuffled)))
    assert there.pop("pck") == pytest.approx(here.pop("pck"))
    assert there == pytest.approx(here)


def test_missed_animals_and_missing_frames_are_counted(truth) -> None:
    predicted = observed(truth, Observation())[10:]
    result = evaluate(pair_frames(truth, predicted))
    assert result.missed_count == sum(frame.instance_count for frame in truth[:10])
    assert result.mar == pytest.approx(
        result.matched_count / (result.matched_count + result.missed_count)
    )


def test_frames_without_labels_do_not_count(truth) -> None:
    predicted = observed(truth, Observation())
    assert evaluate(pair_frames(truth[:5], predicted)) == evaluate(
        pair_frames(truth[:5], predicted[:5])
    )


def test_nothing_predicted_has_no_distances(truth) -> None:
    result = evaluate(pair_frames(truth, []))
    assert (result.map, result.mar, result.matched_count) == (0, 0, 0)
    assert result.dist_mean_px is result.oks_mean is result.dist_p50_px is None


def test_impossible_comparisons_are_refused(truth) -> None:
    empty = truth[0].select(np.zeros(0, np.intp))
    fewer = replace(truth[0], points_px_IN2=truth[0].points_px_IN2[:, :2])
    for reason, compare in {
        "NO_GROUND_TRUTH": lambda: evaluate(pair_frames([empty], truth)),
        "FRAME_REPEATED": lambda: pair_frames(truth, [truth[0], truth[0]]),
        "NODES_DIFFER": lambda: evaluate(pair_frames(truth[:1], [fewer])),
    }.items():
        with pytest.raises(InvalidArgument) as error:
            compare()
        assert error.value.reason == reason

"""Laws of average precision."""

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_core.metrics.average_precision import average_precision

ONE = np.array([1.0])


def random_frames(seed: int, count: int = 30) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.uniform(0.3, 1, (rng.integers(0, 4), predicted)), rng.random(predicted))
        for predicted in rng.integers(0, 4, count)
    ]


def test_perfect_predictions_give_one() -> None:
    result = average_precision([(np.eye(3), np.array([0.3, 0.9, 0.5])), (np.eye(1), ONE)])
    assert result.map == result.mar == 1


def test_each_threshold_counts_for_itself() -> None:
    result = average_precision([(np.array([[0.72]]), ONE)])
    assert result.precision_T.tolist() == [1] * 5 + [0] * 5
    assert result.map == result.mar == 0.5


def test_nothing_predicted_gives_zero() -> None:
    result = average_precision([(np.zeros((2, 0)), np.zeros(0))])
    assert result.map == result.mar == 0


def test_a_false_prediction_costs_precision_only_if_it_is_ranked_before_a_true_one() -> None:
    true = (np.eye(1), ONE)
    after = average_precision([true, (np.zeros((0, 1)), np.array([0.5]))])
    before = average_precision([true, (np.zeros((0, 1)), np.array([2.0]))])
    assert after.map == 1
    assert before.map == pytest.approx(0.5)
    assert before.mar == 1


def test_a_second_prediction_of_the_same_animal_is_false() -> None:
    frames = [(np.array([[1.0, 1.0]]), np.array([0.9, 0.8])), (np.eye(1), np.array([0.5]))]
    result = average_precision(frames)
    # Ranked true, false, true: precision 1 up to recall 1/2, then 2/3.
    assert result.map == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_better_similarities_never_lower_recall() -> None:
    frames = random_frames(1)
    better = [(np.sqrt(similarity), scores) for similarity, scores in frames]
    assert (average_precision(better).recall_T >= average_precision(frames).recall_T).all()


@pytest.mark.parametrize("seed", range(5))
def test_order_of_instances_and_frames_and_the_unit_of_scores_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = random_frames(seed)
    shuffled = []
    for index in rng.permutation(len(frames)):
        similarity, scores = frames[index]
        rows, columns = rng.permutation(similarity.shape[0]), rng.permutation(len(scores))
        shuffled.append((similarity[rows][:, columns], 100 * scores[columns] - 3))
    here, there = average_precision(frames), average_precision(shuffled)
    np.testing.assert_allclose(here.precision_T, there.precision_T)
    np.testing.assert_allclose(here.recall_T, there.recall_T)


def test_without_truth_there_is_nothing_to_say() -> None:
    with pytest.raises(InvalidArgument) as error:
        average_precision([(np.zeros((0, 1)), ONE)])
    assert error.value.reason == "NO_GROUND_TRUTH"

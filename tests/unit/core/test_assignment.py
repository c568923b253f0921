"""Laws of the matchings."""

from itertools import permutations

import numpy as np
import pytest

from shoal_core.assignment import greedy_pairs, optimal_matches


def best_sum(gains: np.ndarray) -> float:
    """Exhaustive search over all matchings of a small problem."""
    rows, columns = gains.shape
    if rows > columns:
        return best_sum(gains.T)
    positive = np.fmax(gains, 0)
    return max(
        sum(positive[row, column] for row, column in enumerate(chosen))
        for chosen in permutations(range(columns), rows)
    )


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2), (2, 4), (4, 4)])
def test_optimal_matches_have_the_greatest_sum_and_use_nothing_twice(shape) -> None:
    gains = np.random.default_rng(sum(shape)).uniform(-0.5, 1, (60, *shape))
    problem, row, column = optimal_matches(gains)
    for index in range(len(gains)):
        chosen = problem == index
        assert len(set(row[chosen])) == len(set(column[chosen])) == chosen.sum()
        assert (gains[index, row[chosen], column[chosen]] > 0).all()
        assert gains[index, row[chosen], column[chosen]].sum() == pytest.approx(
            best_sum(gains[index])
        )


def test_pairs_without_gain_stay_alone() -> None:
    gains = np.array([[[0.0, -1.0], [np.nan, 0.3]]])
    problem, row, column = optimal_matches(gains)
    assert (problem.tolist(), row.tolist(), column.tolist()) == ([0], [1], [1])
    assert [indices.tolist() for indices in greedy_pairs(gains[0])] == [[1], [1]]


def test_optimal_beats_greedy_where_the_best_pair_costs_more_than_it_brings() -> None:
    gains = np.array([[1.0, 0.9], [0.9, 0.0]])
    assert optimal_matches(gains[None])[2].tolist() == [1, 0]
    assert [indices.tolist() for indices in greedy_pairs(gains)] == [[0], [0]]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_problems_have_no_matches(shape) -> None:
    assert all(len(indices) == 0 for indices in optimal_matches(np.zeros((2, *shape))))
    assert all(len(indices) == 0 for indices in greedy_pairs(np.zeros(shape)))

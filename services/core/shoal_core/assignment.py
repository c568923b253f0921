"""One-to-one matching by gain: shared by grouping, class grouping, tracking and metrics.

Axis legend: E independent problems, P rows, Q columns, M matches.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Gains = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]


def optimal_matches(gains_EPQ: Gains) -> tuple[Indices, Indices, Indices]:
    """Returns (problem_M, row_M, column_M): the matching of greatest summed gain per problem.

    A pair with a gain of 0 or less, or NaN, is never matched. Where every row's best column
    is another one, taking them is already optimal and nothing else is computed; only the
    remaining problems go through the Hungarian method (scipy's linear_sum_assignment). Matches
    come ordered by problem, then row.
    """
    gains_EPQ = np.fmax(gains_EPQ, 0)
    if gains_EPQ.size == 0:
        none = np.zeros(0, np.intp)
        return none, none, none
    best_EP = gains_EPQ.argmax(axis=2)
    has_EP = np.take_along_axis(gains_EPQ, best_EP[:, :, None], axis=2)[:, :, 0] > 0
    wanted_EPQ = (best_EP[:, :, None] == np.arange(gains_EPQ.shape[2])) & has_EP[:, :, None]
    disputed_E = (wanted_EPQ.sum(axis=1) > 1).any(axis=1)
    for problem in np.flatnonzero(disputed_E):
        rows, columns = optimal_pairs(gains_EPQ[problem])
        wanted_EPQ[problem] = False
        wanted_EPQ[problem, rows, columns] = True
    problem_M, row_M, column_M = np.nonzero(wanted_EPQ)
    return problem_M, row_M, column_M


def optimal_pairs(gains_PQ: Gains) -> tuple[Indices, Indices]:
    """Returns (row_M, column_M): the same matching for one problem, by the Hungarian method.

    A pair with a gain of 0 or less, or NaN, is never matched. Between equally good matchings
    rows without any gain make no difference.
    """
    # Imported when it is needed: it takes longer than a process otherwise takes to start.
    from scipy.optimize import linear_sum_assignment

    gains_PQ = np.fmax(gains_PQ, 0)
    gaining_R = np.flatnonzero(gains_PQ.any(axis=1))
    row_M, column_M = linear_sum_assignment(gains_PQ[gaining_R], maximize=True)
    row_M = gaining_R[row_M]
    gained_M = gains_PQ[row_M, column_M] > 0
    return row_M[gained_M], column_M[gained_M]


def greedy_pairs(gains_PQ: Gains) -> tuple[Indices, Indices]:
    """Returns (row_M, column_M): again and again the best pair of those still free.

    A pair with a gain of 0 or less, or NaN, is never matched. Of equal gains the first in
    row order wins. Matches come ordered by row.
    """
    gains_PQ = np.fmax(gains_PQ, 0)
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    matches: list[tuple[int, int]] = []
    for flat in np.argsort(-gains_PQ, axis=None, kind="stable"):
        row, column = divmod(int(flat), gains_PQ.shape[1])
        if gains_PQ[row, column] <= 0:
            break
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            matches.append((row, column))
    pairs_M2 = np.array(sorted(matches), np.intp).reshape(-1, 2)
    return pairs_M2[:, 0], pairs_M2[:, 1]

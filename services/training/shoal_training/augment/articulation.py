"""Animals in other postures: each body part turned about its joint, and stretched.

A body part is an edge of the skeleton. Its far node is turned and moved, with everything that
hangs on it; in between, the image follows the parts nearby, the nearest one most (linear blend
skinning, Lewis et al., SIGGRAPH 2000, with inverse distances as weights).

Places in the image are complex numbers here, x + i·y in pixels: a product turns and scales.

Axis legend: I instances, N nodes, E edges of a skeleton, P parts (edges of all instances), `...`
any axes.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_core.skeleton import Skeleton

Places = NDArray[np.complex128]

_SHORT = 0.6
"""Parts below this fraction of the animal's longest part turn less: see `Articulation`."""
_SOFTNESS_PX = 1.0
"""Distance within which a part is not told from its middle line; keeps weights finite."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Body parts in their new posture, and the way back of each."""

    near_P: Places
    """Joint of each part, after."""
    far_P: Places
    """Other end, after."""
    joint_P: Places
    """Joint of each part, before."""
    back_P: Places
    """Turn and stretch that lead back."""

    def before(self, places: Places) -> Places:
        """Returns where what is shown at the places was before, blended over the parts."""
        if not len(self.near_P):
            return places
        away = places[..., None] - self.near_P
        along_P = self.far_P - self.near_P
        length_px2_P = np.maximum(np.abs(along_P) ** 2, 1e-9)
        share = np.clip((away * along_P.conj()).real / length_px2_P, 0, 1)
        gap = away - share * along_P
        weights = 1 / (gap.real**2 + gap.imag**2 + _SOFTNESS_PX**2) ** 2
        moved = weights * (self.joint_P + self.back_P * away)
        return np.asarray(moved.sum(axis=-1) / weights.sum(axis=-1))


class Articulation:
    """Draws postures of a skeleton's animals.

    Turns fall off with the square of a part's length below `_SHORT` of the longest: what joins
    an eye to a head hardly turns, and would tear the head if it did.
    """

    def __init__(
        self, skeleton: Skeleton, anchor: int, turn_std_deg: float, stretch_std: float
    ) -> None:
        """Takes the node that stays in place and the spreads of turns and of log lengths."""
        self._edges = _outwards(skeleton, anchor)
        self._turn_std_rad = np.deg2rad(turn_std_deg)
        self._stretch_std = stretch_std

    def draw(self, nodes_IN: Places, rng: np.random.Generator) -> tuple[Places, Parts]:
        """Returns where the nodes are in a new posture, and the parts.

        Parts with a missing end stay out; what hangs on them keeps its place.
        """
        shape = (len(nodes_IN), len(self._edges))
        turns_IE = rng.normal(0, 1, shape) * self._turn_std_rad * self._ease(nodes_IN)
        stretches_IE = np.exp(rng.normal(0, 1, shape) * self._stretch_std)
        moved_IN = nodes_IN.copy()
        turned_IN = np.ones_like(nodes_IN)
        rows = []
        for column, (joint, end) in enumerate(self._edges):
            turned_IN[:, end] = turned_IN[:, joint] * np.exp(1j * turns_IE[:, column])
            factor_I = turned_IN[:, end] * stretches_IE[:, column]
            there_I = moved_IN[:, joint] + factor_I * (nodes_IN[:, end] - nodes_IN[:, joint])
            seen_I = np.isfinite(there_I)
            moved_IN[seen_I, end] = there_I[seen_I]
            row = (moved_IN[:, joint], there_I, nodes_IN[:, joint], 1 / factor_I)
            rows.append(np.stack(row)[:, seen_I])
        if not rows:
            return moved_IN, Parts(*np.empty((4, 0), complex))
        return moved_IN, Parts(*np.concatenate(rows, axis=1))

    def _ease(self, nodes_IN: Places) -> NDArray[np.float64]:
        """Returns (I, E) factors of the turns, 0 to 1."""
        ends = np.array(self._edges, np.intp).reshape(-1, 2)
        lengths_IE = np.nan_to_num(np.abs(nodes_IN[:, ends[:, 1]] - nodes_IN[:, ends[:, 0]]))
        longest_I1 = lengths_IE.max(axis=1, keepdims=True, initial=1e-9)
        return np.asarray(np.minimum(lengths_IE / (_SHORT * longest_I1), 1) ** 2)


def _outwards(skeleton: Skeleton, anchor: int) -> list[tuple[int, int]]:
    """Returns edges (joint, end) leading away from the anchor, then from other nodes."""
    neighbours: dict[int, list[int]] = {node: [] for node in range(len(skeleton.nodes))}
    for one, other in skeleton.edges:
        neighbours[one].append(other)
        neighbours[other].append(one)
    edges, reached = [], set()
    for start in (anchor, *neighbours):
        queue = deque([] if start in reached else [start])
        reached.add(start)
        while queue:
            joint = queue.popleft()
            for end in neighbours[joint]:
                if end not in reached:
                    reached.add(end)
                    edges.append((joint, end))
                    queue.append(end)
    return edges

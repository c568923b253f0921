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
        along_P = self.far_P - self.near_P
        per_px_P = along_P / np.maximum(np.abs(along_P) ** 2, 1e-9)
        x, y = (axis[..., None] for axis in _xy(places))
        (near_x, near_y), (along_x, along_y), (per_x, per_y) = (
            _xy(of_P) for of_P in (self.near_P, along_P, per_px_P)
        )
        away_x, away_y = x - near_x, y - near_y
        share = np.clip(away_x * per_x + away_y * per_y, 0, 1)
        away_x -= share * along_x
        away_y -= share * along_y
        gap_px2 = away_x * away_x + away_y * away_y + np.float32(_SOFTNESS_PX**2)
        weights = 1 / (gap_px2 * gap_px2)
        # The mean of joint + back · (place - near), as one shift and one factor.
        shift_P = self.joint_P - self.back_P * self.near_P
        moved_P5 = np.stack(
            (*_xy(shift_P), *_xy(self.back_P), np.ones(len(shift_P), np.float32)), axis=-1
        )
        shift_x, shift_y, back_x, back_y, total = np.moveaxis(weights @ moved_P5, -1, 0)
        return np.asarray(
            ((shift_x + 1j * shift_y) + (back_x + 1j * back_y) * places) / total, complex
        )


class Articulation:
    """Draws postures of a skeleton's animals.

    Turns fall off with the square of a part's length below `_SHORT` of the longest: what joins
    an eye to a head hardly turns, and would tear the head if it did.
    """

    def __init__(
        self, skeleton: Skeleton, anchor: int, turn_std_deg: float, stretch_std: float
    ) -> None:
        """Takes the node that stays in place and the spreads of turns and of log lengths."""
        edges = _outwards(skeleton, anchor)
        self._joints_E, self._ends_E = np.array(edges, np.intp).reshape(-1, 2).T
        self._generations = _generations(edges)
        self._turn_std_rad = np.deg2rad(turn_std_deg)
        self._stretch_std = stretch_std

    def draw(self, nodes_IN: Places, rng: np.random.Generator) -> tuple[Places, Parts]:
        """Returns where the nodes are in a new posture, and the parts: none if all stay as is.

        Parts with a missing end stay out; what hangs on them keeps its place.
        """
        if not (self._turn_std_rad or self._stretch_std):
            return nodes_IN, Parts(*np.empty((4, 0), complex))
        shape = (len(nodes_IN), len(self._ends_E))
        turns_IE = rng.normal(0, self._turn_std_rad, shape) * self._ease(nodes_IN)
        stretches_IE = rng.normal(0, self._stretch_std, shape)
        factors_IE: Places = np.exp(stretches_IE + 1j * turns_IE)
        turned_IN = np.ones_like(nodes_IN)
        moved_IN = nodes_IN.copy()
        for parts in self._generations:
            joints, ends = self._joints_E[parts], self._ends_E[parts]
            turned_IN[:, ends] = turned_IN[:, joints] * np.exp(1j * turns_IE[:, parts])
            factors_IE[:, parts] *= turned_IN[:, joints]
            along_IE = factors_IE[:, parts] * (nodes_IN[:, ends] - nodes_IN[:, joints])
            there_IE = moved_IN[:, joints] + along_IE
            seen_IE = np.isfinite(there_IE)
            moved_IN[:, ends] = np.where(seen_IE, there_IE, nodes_IN[:, ends])
        joints, ends = self._joints_E, self._ends_E
        near_IE, far_IE = moved_IN[:, joints], moved_IN[:, ends]
        whole_IE = np.isfinite(near_IE) & np.isfinite(far_IE)
        return moved_IN, Parts(
            near_IE[whole_IE],
            far_IE[whole_IE],
            nodes_IN[:, joints][whole_IE],
            np.reciprocal(factors_IE[whole_IE]),
        )

    def _ease(self, nodes_IN: Places) -> NDArray[np.float64]:
        """Returns (I, E) factors of the turns, 0 to 1."""
        along_IE = nodes_IN[:, self._ends_E] - nodes_IN[:, self._joints_E]
        lengths_IE = np.abs(along_IE)
        lengths_IE[np.isnan(lengths_IE)] = 0
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


def _generations(edges: list[tuple[int, int]]) -> list[list[int]]:
    """Returns the edges' indices in groups, each of which hangs on those before it."""
    depth: dict[int, int] = {}
    groups: list[list[int]] = []
    for index, (joint, end) in enumerate(edges):
        depth[end] = depth.get(joint, 0) + 1
        if depth[end] > len(groups):
            groups.append([])
        groups[depth[end] - 1].append(index)
    return groups


def _xy(places: Places) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns x and y in single precision."""
    return places.real.astype(np.float32), places.imag.astype(np.float32)

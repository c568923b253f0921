"""Which nodes swap when the image is mirrored."""

import re

import numpy as np
from numpy.typing import NDArray

from shoal_core.skeleton import Skeleton

_OTHER_SIDE = {"l": "r", "r": "l", "left": "right", "right": "left"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+")
"""The words of a name in camel case or with separators: wing, L; fore, leg, R, 4; left, _, ear."""


def mirrored_nodes(skeleton: Skeleton) -> NDArray[np.intp]:
    """Returns for each node (N,) the one that stands for it in the mirror; itself if unpaired.

    The pairs are the skeleton's symmetries. A skeleton without any (many label files leave
    them out) is paired by names that differ in one word for the side only: "wingL" and "wingR",
    "left_ear" and "right_ear".
    """
    pairs = skeleton.symmetries or _pairs_by_name(skeleton.nodes)
    mirrored_N = np.arange(len(skeleton.nodes))
    for one, other in pairs:
        mirrored_N[one], mirrored_N[other] = other, one
    return mirrored_N


def _pairs_by_name(nodes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    index = {name: node for node, name in enumerate(nodes)}
    pairs = []
    for name, node in index.items():
        words = _WORDS.findall(name)
        for place, word in enumerate(words):
            if (side := _OTHER_SIDE.get(word.lower())) is None:
                continue
            swapped = "".join([*words[:place], _like(side, word), *words[place + 1 :]])
            if node < index.get(swapped, -1):
                pairs.append((node, index[swapped]))
    return tuple(pairs)


def _like(word: str, example: str) -> str:
    """Returns the word with the capitals of the example."""
    if example.isupper():
        return word.upper()
    return word.capitalize() if example[0].isupper() else word

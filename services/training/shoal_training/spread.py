"""Some of many, evenly."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Returns so many of the items, the first and the last among them, or all if they are fewer."""
    rows = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[row] for row in rows]

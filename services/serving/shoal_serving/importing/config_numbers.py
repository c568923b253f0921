"""Numbers of a configuration, checked."""

import math
from typing import Any


def positive(number: Any) -> float:
    """Returns a number above 0 and finite, or raises ValueError."""
    if not 0 < float(number) < math.inf:
        raise ValueError(f"{number} is no positive number")
    return float(number)


def power_of_two(stride: Any) -> int:
    """Returns 1, 2, 4 …, or raises ValueError."""
    if stride != int(stride) or stride < 1 or int(stride).bit_count() != 1:
        raise ValueError(f"stride {stride} is no power of two")
    return int(stride)

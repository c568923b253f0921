"""What a network computes, as the kernels take it.

Axis legend: O output channels, I input channels, Y X taps of a kernel, K channels and taps,
P points of the Winograd transform.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TO_POINTS = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""G of F(4, 3): Lavin and Gray, CVPR 2016."""

_FEWEST_CHANNELS = 4
"""Input channels from which the transforms cost less than they save."""


class Kind(IntEnum):
    """`kind` of layout.h."""

    PACK = 0
    WINOGRAD = 1
    DIRECT = 2
    TRANSPOSED = 3
    POOL = 4
    UPSAMPLE = 5
    UNPACK = 6


@dataclass(frozen=True)
class Layer:
    """One step of a network."""

    kind: Kind
    inputs: tuple[str, ...]
    """Tensors whose channels it takes, one after another."""
    output: str
    outputs: int
    """Channels that it gives."""
    has_relu: bool = False
    sum_count: int = 1
    weights: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    """In the order in which the kernel reads them."""
    biases: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    taps: tuple[tuple[tuple[int, int], ...], ...] = ()
    """(row, column) offsets; of TRANSPOSED for each parity of the output's pixels."""

    @property
    def reach(self) -> int:
        """How many pixels beyond the image it reads."""
        if self.kind == Kind.WINOGRAD:
            return 1
        return max((abs(step) for part in self.taps for tap in part for step in tap), default=0)


def convolution(
    inputs: tuple[str, ...],
    output: str,
    weights_OIYX: Floats,
    biases_O: Floats,
    *,
    has_relu: bool,
    most_sums: int,
) -> Layer:
    """Returns a convolution of stride 1 whose output is as large as its input."""
    outputs, channels, height, width = weights_OIYX.shape
    sum_count = _sum_count(outputs, most_sums)
    if (height, width) == (3, 3) and channels >= _FEWEST_CHANNELS:
        points_OIYX = _TO_POINTS @ weights_OIYX.astype(np.float64) @ _TO_POINTS.T
        points_OIP = points_OIYX.swapaxes(2, 3).reshape(outputs, channels, -1)
        return Layer(
            Kind.WINOGRAD, inputs, output, outputs, has_relu, sum_count,
            _blocks(points_OIP.transpose(2, 1, 0), sum_count), biases_O,
        )  # fmt: skip
    taps = tuple((y - height // 2, x - width // 2) for y in range(height) for x in range(width))
    weights_KO = weights_OIYX.transpose(2, 3, 1, 0).reshape(1, -1, outputs)
    return Layer(
        Kind.DIRECT, inputs, output, outputs, has_relu, sum_count,
        _blocks(weights_KO, sum_count), biases_O, (taps,),
    )  # fmt: skip


def transposed_convolution(
    inputs: tuple[str, ...],
    output: str,
    weights_IOYX: Floats,
    biases_O: Floats,
    *,
    padding: int,
    has_relu: bool,
    most_sums: int,
) -> Layer:
    """Returns a transposed convolution of stride 2 whose output is twice as large as its input.

    Args:
        inputs: Tensors whose channels it takes.
        output: Name of what it gives.
        weights_IOYX: Kernel.
        biases_O: Added to each channel.
        padding: Pixels that are cut off above and at the left of what the kernel reaches.
        has_relu: Whether it ends with a ReLU.
        most_sums: Output channels that can be summed up at once.
    """
    outputs, size = weights_IOYX.shape[1], weights_IOYX.shape[2]
    sum_count = _sum_count(outputs, most_sums)
    taps, packed = [], []
    for row in (0, 1):
        for column in (0, 1):
            rows = _parity_taps(row, padding, size)
            columns = _parity_taps(column, padding, size)
            taps.append(tuple((y, x) for y in rows for x in columns))
            chosen = weights_IOYX[:, :, list(rows.values())][:, :, :, list(columns.values())]
            weights_KO = chosen.transpose(2, 3, 0, 1).reshape(1, -1, outputs)
            packed.append(_blocks(weights_KO, sum_count))
    return Layer(
        Kind.TRANSPOSED, inputs, output, outputs, has_relu, sum_count,
        np.concatenate(packed), biases_O, tuple(taps),
    )  # fmt: skip


def _parity_taps(parity: int, padding: int, size: int) -> dict[int, int]:
    """Returns offset in the input → place in the kernel, for even or odd outputs."""
    places = [place for place in range(size) if (parity + padding - place) % 2 == 0]
    return {(parity + padding - place) // 2: place for place in places}


def _sum_count(outputs: int, most_sums: int) -> int:
    block_count = -(-outputs // most_sums)
    return -(-outputs // block_count)


def _blocks(weights_PKO: Floats | NDArray[np.float64], sum_count: int) -> Floats:
    """Returns the weights in the order [block][point][channel and tap][output of the block]."""
    outputs = weights_PKO.shape[2]
    blocks: Sequence[NDArray[np.floating]] = [
        weights_PKO[:, :, first : first + sum_count].ravel()
        for first in range(0, outputs, sum_count)
    ]
    return np.concatenate(blocks).astype(np.float32)

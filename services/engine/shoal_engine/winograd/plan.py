"""Networks laid out in memory for one size of image: ready to run, again and again.

Axis legend: B images side by side, C channels, H W pixels.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_engine.winograd.layers import Floats, Kind, Layer
from shoal_engine.winograd.library import Geometry, Kernels, Meeting, Operation, Scratch
from shoal_engine.winograd.network import Network

_PHASES = 4
_POINTS = 36
_LINE_FLOATS = 16
"""Floats of a line of the cache."""


@dataclass(frozen=True)
class _Place:
    """A tensor in the arena."""

    geometry: Geometry
    channels: int
    start: int
    """Floats from the arena's start to row 0 of the first channel."""


class Plan:
    """A network for images of one size and one number of them; used by one run at a time."""

    def __init__(
        self, network: Network, kernels: Kernels, *, images: int, height: int, width: int
    ) -> None:
        """Lays the network out.

        Raises:
            InvalidArgument: INPUT_REJECTED when the network halves a side that is odd.
        """
        self._kernels = kernels
        self._kept: list[Any] = []  # what the operations point at
        counts = network.channel_counts()
        geometries = _geometries(network, kernels.lane_count, images, height, width)
        starts, size = _starts(network, counts, geometries, kernels.lane_count)
        self._arena = _floats(size)
        self._places = {
            name: _Place(geometry, counts[name], starts[name])
            for name, geometry in geometries.items()
        }
        self.shapes = {
            name: (images, counts[tensor], geometries[tensor].rows, geometries[tensor].columns)
            for name, tensor in network.outputs
        }
        """Shape of each output, in the network's order."""
        operations = [self._packing(network.input_name)]
        operations += [self._operation(layer) for layer in network.layers]
        operations += [
            self._unpacking(tensor, port)
            for port, (_, tensor) in enumerate(network.outputs, start=1)
        ]
        self._operations = (Operation * len(operations))(*operations)
        self._scratch_sizes = self._sizes_of_scratch(network)
        self._scratches: list[Scratch] = []

    def run(
        self, arrays: Sequence[NDArray[Any]], meeting: Meeting, thread: int, threads: int
    ) -> bool:
        """Computes one thread's part; returns whether it was stopped.

        Args:
            arrays: The input, and what the outputs are written into; float32, contiguous.
            meeting: Where the threads of the run meet.
            thread: Which of them this is.
            threads: How many there are; `prepare` was called for them.
        """
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        return bool(
            self._kernels.run(
                self._operations, len(self._operations), pointers, self._scratches[thread],
                meeting, thread, threads,
            )
        )  # fmt: skip

    def prepare(self, threads: int) -> None:
        """Makes the tools of so many threads."""
        while len(self._scratches) < threads:
            tiles, sums, taps = (_floats(size) for size in self._scratch_sizes)
            self._kept.append((tiles, sums, taps))
            self._scratches.append(Scratch(tiles.ctypes.data, sums.ctypes.data, taps.ctypes.data))

    def _packing(self, name: str) -> Operation:
        place = self._places[name]
        return self._filled(Kind.PACK, (), place, port=0)

    def _unpacking(self, name: str, port: int) -> Operation:
        return self._filled(Kind.UNPACK, (name,), None, port=port)

    def _operation(self, layer: Layer) -> Operation:
        operation = self._filled(layer.kind, layer.inputs, self._places[layer.output])
        operation.weights = self._pointer(layer.weights)
        operation.biases = self._pointer(layer.biases)
        operation.has_relu = layer.has_relu
        operation.sum_count = layer.sum_count
        operation.tap_counts[: len(layer.taps)] = [len(part) for part in layer.taps]
        offsets = [step for part in layer.taps for tap in part for step in tap]
        operation.taps = self._pointer(np.array(offsets, np.int64))
        return operation

    def _filled(
        self, kind: Kind, inputs: Sequence[str], output: _Place | None, port: int = 0
    ) -> Operation:
        operation = Operation(kind=kind, port=port)
        places = [self._places[name] for name in inputs]
        if places:
            operation.from_ = places[0].geometry
            rows = [
                self._arena.ctypes.data
                + (place.start + channel * place.geometry.channel) * self._arena.itemsize
                for place in places
                for channel in range(place.channels)
            ]
            operation.channels = len(rows)
            operation.inputs = self._pointer(np.array(rows, np.uint64))
        if output is not None:
            operation.to = output.geometry
            operation.outputs = output.channels
            operation.output = self._arena.ctypes.data + output.start * self._arena.itemsize
            operation.mask = self._pointer(_mask(output.geometry))
        return operation

    def _pointer(self, array: NDArray[Any]) -> int:
        self._kept.append(array)
        return int(array.ctypes.data)

    def _sizes_of_scratch(self, network: Network) -> tuple[int, int, int]:
        lanes, most_sums = self._kernels.lane_count, self._kernels.most_sums
        channels = [operation.channels for operation in self._operations]
        taps = [max(operation.tap_counts) for operation in self._operations]
        rows = [operation.from_.pitch * _PHASES for operation in self._operations]
        tiles = max(_POINTS * (max(channels) + 1) * lanes, max(rows) + 2 * lanes)
        sums = _POINTS * most_sums * lanes
        pointers = 2 * max(a * b for a, b in zip(taps, channels, strict=True))
        return tiles, sums, 2 * max(pointers, 1)  # a pointer is as long as two floats


def _floats(count: int) -> Floats:
    """Returns floats that begin with a line of the cache."""
    raw = np.empty(count + _LINE_FLOATS, np.float32)
    skipped = -raw.ctypes.data // raw.itemsize % _LINE_FLOATS
    return raw[skipped : skipped + count]


def _geometry(lane_count: int, images: int, height: int, width: int, margin: int) -> Geometry:
    tiles = -(-width // _PHASES)
    lanes = (images - 1) * (tiles + 1) + tiles
    pitch = (lanes // lane_count + 1) * lane_count  # a zero at least at the end
    rows = -(-height // _PHASES) * _PHASES + margin
    return Geometry(
        rows=height,
        columns=width,
        images=images,
        image_stride=tiles + 1,
        pitch=pitch,
        channel=rows * _PHASES * pitch,
        margin=margin,
    )


def _geometries(
    network: Network, lane_count: int, images: int, height: int, width: int
) -> dict[str, Geometry]:
    sizes = {network.input_name: (height, width)}
    for layer in network.layers:
        rows, columns = sizes[layer.inputs[0]]
        if any(sizes[name] != (rows, columns) for name in layer.inputs):
            raise _size_error(height, width)
        match layer.kind:
            case Kind.POOL if rows % 2 or columns % 2:
                raise _size_error(height, width)
            case Kind.POOL:
                rows, columns = rows // 2, columns // 2
            case Kind.TRANSPOSED | Kind.UPSAMPLE:
                rows, columns = 2 * rows, 2 * columns
        sizes[layer.output] = (rows, columns)
    return {
        name: _geometry(lane_count, images, *size, network.margin) for name, size in sizes.items()
    }


def _size_error(height: int, width: int) -> InvalidArgument:
    return InvalidArgument(
        "INPUT_REJECTED", f"The model cannot halve images of {height} x {width} px often enough."
    )


def _mask(geometry: Geometry) -> Floats:
    """Returns [phase][lane]: 1 where an image is."""
    mask = np.zeros((_PHASES, geometry.pitch), np.float32)
    columns = np.arange(geometry.columns)
    for image in range(geometry.images):
        mask[columns % _PHASES, image * geometry.image_stride + columns // _PHASES] = 1
    return mask


def _starts(
    network: Network,
    counts: Mapping[str, int],
    geometries: Mapping[str, Geometry],
    lane_count: int,
) -> tuple[dict[str, int], int]:
    """Returns where tensors start and how long all are; those not needed together share."""
    made = {network.input_name: 0}
    used: dict[str, int] = {}
    for step, layer in enumerate(network.layers, start=1):
        made[layer.output] = step
        used |= dict.fromkeys(layer.inputs, step)
    used |= {tensor: len(network.layers) + 1 for _, tensor in network.outputs}
    starts: dict[str, int] = {}
    taken: dict[str, range] = {}
    for name, step in made.items():
        geometry = geometries[name]
        lead = lane_count + geometry.margin * _PHASES * geometry.pitch
        size = lead + counts[name] * geometry.channel + lane_count
        rivals = [span for other, span in taken.items() if used.get(other, made[other]) >= step]
        place = _gap(rivals, size)
        taken[name] = range(place, place + size)
        starts[name] = place + lead
    return starts, max(span.stop for span in taken.values())


def _gap(taken: Sequence[range], size: int) -> int:
    """Returns the first place where so much is free."""
    place = 0
    for span in sorted(taken, key=lambda one: one.start):
        if place + size <= span.start:
            break
        place = max(place, -(-span.stop // _LINE_FLOATS) * _LINE_FLOATS)
    return place

"""Networks laid out in memory for one size of image: ready to run, again and again."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_engine.winograd import arena
from shoal_engine.winograd.arena import PHASES, Step
from shoal_engine.winograd.layers import Kind
from shoal_engine.winograd.library import Geometry, Kernels, Meeting, Operation, Scratch, Tensor
from shoal_engine.winograd.network import Network

_POINTS = 36
_CACHE_FLOATS = 2**18
"""Half of what the second level of a processor's cache holds: so much of weights or of tiles."""


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
        self._counts = network.channel_counts()
        self._geometries = arena.geometries(
            network, kernels.lane_count, images=images, height=height, width=width
        )
        ordered = arena.steps(network, images)
        self._starts, size = arena.starts(network, ordered, self._geometries, kernels.lane_count)
        self._arena = arena.floats(size)
        self._kept: list[Any] = []  # what the operations point at
        self.shapes = {
            output.name: (images, self._counts[output.tensor], *self._size(output.tensor))
            for output in network.outputs
        }
        """Shape of each output, in the network's order."""
        outputs = [output.tensor for output in network.outputs]
        operations = [
            Operation(kind=Kind.PACK, to=self._tensor(network.input_name), port=0),
            *(self._operation(step) for step in ordered),
            *(self._unpacking(tensor, port) for port, tensor in enumerate(outputs, start=1)),
        ]
        self._operations = (Operation * len(operations))(*operations)
        self._scratch_sizes = self._sizes_of_scratch()
        self._scratches: list[Scratch] = []

    def prepare(self, threads: int) -> None:
        """Makes the tools of so many threads."""
        while len(self._scratches) < threads:
            tools = [arena.floats(size) for size in self._scratch_sizes]
            self._kept.append(tools)
            self._scratches.append(Scratch(*(one.ctypes.data for one in tools)))

    def run(
        self, arrays: Sequence[NDArray[Any]], meeting: Meeting, thread: int, threads: int
    ) -> None:
        """Computes one thread's part, or what it can until the run is stopped.

        Args:
            arrays: The input, and what the outputs are written into; float32, contiguous.
            meeting: Where the threads of the run meet.
            thread: Which of them this is.
            threads: How many there are; `prepare` was called for them.
        """
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        self._kernels.run(
            self._operations, len(self._operations), pointers, self._scratches[thread],
            meeting, thread, threads,
        )  # fmt: skip

    def _operation(self, step: Step) -> Operation:
        layer = step.layer
        offsets = [offset for part in layer.taps for tap in part for offset in tap]
        counts = [len(part) for part in layer.taps]
        operation = Operation(
            kind=layer.kind,
            weights=self._pointer(layer.weights),
            biases=self._pointer(layer.biases),
            has_relu=layer.has_relu,
            sum_count=layer.sum_count,
            tap_counts=(ctypes.c_int64 * 4)(*counts),
            taps=self._pointer(np.array(offsets, np.int64)),
        )
        self._read(operation, layer.inputs)
        if step.writes_output:
            operation.to = self._tensor(layer.output)
        else:
            mask = self._pointer(arena.mask(self._geometries[layer.output]))
            operation.to = Tensor(channels=layer.outputs, mask=mask)
        if step.pooled is not None:
            operation.pooled = self._tensor(step.pooled)
        tile_floats = _POINTS * (operation.channels + 1) * self._kernels.lane_count
        is_cached = layer.weights.size <= _CACHE_FLOATS
        operation.group = 1 if is_cached else max(1, _CACHE_FLOATS // tile_floats)
        return operation

    def _unpacking(self, name: str, port: int) -> Operation:
        operation = Operation(kind=Kind.UNPACK, port=port)
        self._read(operation, (name,))
        return operation

    def _read(self, operation: Operation, names: Sequence[str]) -> None:
        """Lets an operation read the channels of tensors, one after another."""
        rows = [
            self._address(name) + channel * self._geometries[name].channel * self._arena.itemsize
            for name in names
            for channel in range(self._counts[name])
        ]
        operation.from_ = self._geometries[names[0]]
        operation.channels = len(rows)
        operation.inputs = self._pointer(np.array(rows, np.uint64))

    def _tensor(self, name: str) -> Tensor:
        shape = self._geometries[name]
        mask = self._pointer(arena.mask(shape))
        return Tensor(shape, self._counts[name], self._address(name), mask)

    def _address(self, name: str) -> int:
        return int(self._arena.ctypes.data + self._starts[name] * self._arena.itemsize)

    def _size(self, name: str) -> tuple[int, int]:
        shape: Geometry = self._geometries[name]
        return shape.rows, shape.columns

    def _pointer(self, array: NDArray[Any]) -> int:
        self._kept.append(array)
        return int(array.ctypes.data)

    def _sizes_of_scratch(self) -> tuple[int, int, int]:
        """Returns the floats of each of a thread's tools."""
        lanes, all_sums = self._kernels.lane_count, self._kernels.most_sums * _POINTS
        tiles = [one.group * _POINTS * (one.channels + 1) * lanes for one in self._operations]
        rows = [one.from_.pitch * PHASES + 2 * lanes for one in self._operations]
        sums = max(max(one.group, 1) for one in self._operations) * all_sums * lanes
        taps = max(2 * max(one.tap_counts) * one.channels for one in self._operations)
        pointer_floats = ctypes.sizeof(ctypes.c_void_p) // self._arena.itemsize
        return max(*tiles, *rows), sums, max(taps, 1) * pointer_floats

"""Where the tensors of a network lie in memory: see layout.h."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shoal_core.errors import InvalidArgument
from shoal_engine.winograd.layers import Floats, Kind, Layer
from shoal_engine.winograd.library import Geometry
from shoal_engine.winograd.network import Network

PHASES = 4
_LINE_FLOATS = 16
"""Floats of a line of the cache."""


@dataclass(frozen=True)
class Step:
    """A layer, with the pooling that it does on the way."""

    layer: Layer
    writes_output: bool = True
    """Whether anything but that pooling reads what it gives."""
    pooled: str | None = None
    """Tensor of the maxima of its output."""

    @property
    def written(self) -> tuple[str, ...]:
        """Tensors that it writes."""
        kept = (self.layer.output,) if self.writes_output else ()
        return kept if self.pooled is None else (*kept, self.pooled)


def steps(network: Network, images: int) -> tuple[Step, ...]:
    """Returns the layers in order; of one image, Winograd's do the pooling that follows them.

    Images side by side need not begin at even tiles, which that relies on.
    """
    if images != 1:
        return tuple(Step(layer) for layer in network.layers)
    makers = {layer.output for layer in network.layers if layer.kind == Kind.WINOGRAD}
    pooled = {
        layer.inputs[0]: layer.output
        for layer in network.layers
        if layer.kind == Kind.POOL and len(layer.inputs) == 1 and layer.inputs[0] in makers
    }
    read = {output.tensor for output in network.outputs} | {
        name
        for layer in network.layers
        if layer.output not in pooled.values()
        for name in layer.inputs
    }
    return tuple(
        Step(layer, layer.output in read or layer.output not in pooled, pooled.get(layer.output))
        for layer in network.layers
        if layer.output not in pooled.values()
    )


def geometries(
    network: Network, lane_count: int, *, images: int, height: int, width: int
) -> dict[str, Geometry]:
    """Returns how each tensor is laid out.

    Raises:
        InvalidArgument: INPUT_REJECTED when the network halves a side that is odd.
    """
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


def mask(geometry: Geometry) -> Floats:
    """Returns [phase][lane]: 1 where an image is, 0 beside it."""
    made = np.zeros((PHASES, geometry.pitch), np.float32)
    columns = np.arange(geometry.columns)
    for image in range(geometry.images):
        made[columns % PHASES, image * geometry.image_stride + columns // PHASES] = 1
    return made


def starts(
    network: Network,
    ordered: Sequence[Step],
    geometry: Mapping[str, Geometry],
    lane_count: int,
) -> tuple[dict[str, int], int]:
    """Returns where row 0 of tensors starts, and the floats of all; those not needed at once share.

    Args:
        network: What is computed.
        ordered: Its steps.
        geometry: How tensors are laid out.
        lane_count: Floats that are read beside a tensor at most.
    """
    made = {network.input_name: 0}
    needed = {output.tensor: len(ordered) + 1 for output in network.outputs}
    for turn, step in enumerate(ordered, start=1):
        made |= dict.fromkeys(step.written, turn)
        for name in step.layer.inputs:
            needed[name] = max(turn, needed.get(name, turn))
    counts = network.channel_counts()
    found: dict[str, int] = {}
    taken: dict[str, range] = {}
    for name, turn in made.items():
        shape = geometry[name]
        lead = lane_count + shape.margin * PHASES * shape.pitch
        size = lead + counts[name] * shape.channel + lane_count
        rivals = [span for other, span in taken.items() if needed.get(other, made[other]) >= turn]
        place = _gap(rivals, size)
        taken[name] = range(place, place + size)
        found[name] = place + lead
    return found, max(span.stop for span in taken.values())


def floats(count: int) -> Floats:
    """Returns floats that begin with a line of the cache."""
    raw = np.empty(count + _LINE_FLOATS, np.float32)
    skipped = -raw.ctypes.data // raw.itemsize % _LINE_FLOATS
    return raw[skipped : skipped + count]


def _geometry(lane_count: int, images: int, height: int, width: int, margin: int) -> Geometry:
    tiles = -(-width // PHASES)
    lanes = (images - 1) * (tiles + 1) + tiles
    pitch = (lanes // lane_count + 1) * lane_count  # a zero at least at the end
    rows = -(-height // PHASES) * PHASES + margin
    return Geometry(
        rows=height,
        columns=width,
        images=images,
        image_stride=tiles + 1,
        pitch=pitch,
        channel=rows * PHASES * pitch,
        margin=margin,
    )


def _size_error(height: int, width: int) -> InvalidArgument:
    return InvalidArgument(
        "INPUT_REJECTED", f"The model cannot halve images of {height} x {width} px often enough."
    )


def _gap(taken: Sequence[range], size: int) -> int:
    """Returns the first place where so much is free."""
    place = 0
    for span in sorted(taken, key=lambda one: one.start):
        if place + size <= span.start:
            break
        place = max(place, -(-span.stop // _LINE_FLOATS) * _LINE_FLOATS)
    return place

"""Maps cut into the windows that a Swin encoder looks through, and put together again.

Axis legend: B images, H W pixels, P Q pixels after padding, C channels, w side of a window,
N = w² pixels of one, L windows of an image.
"""

from collections.abc import Sequence

from shoal_serving.graphs.builder import FLOAT, INT64, GraphBuilder, Value

_OUTSIDE = -100.0
"""Added to the attention between pixels that only the shift has put in one window."""


class Windows:
    """The windows of one map, in graph values, because they depend on its size.

    Zeros pad the map at the bottom and right to whole windows. Shifted windows begin half a
    window further down and right; what they lack at the end comes from the beginning. An axis
    that one window holds is not shifted.
    """

    def __init__(self, graph: GraphBuilder, map_BCHW: Value, side: int, shifted: bool) -> None:
        """Takes the map that is to be cut, and the side of a window in pixels."""
        self._graph = graph
        self._side = side
        self._shifted = shifted
        size = graph.constant([side], INT64)
        self._lengths = [map_BCHW.length(axis) for axis in (2, 3)]
        self._missing = [graph.op("Mod", length * -1, size) for length in self._lengths]
        pairs = zip(self._lengths, self._missing, strict=True)
        self._padded = [length + missing for length, missing in pairs]
        self._counts = [length / side for length in self._padded]
        self._shifts = [(length > size).cast(INT64) * (side // 2) for length in self._padded]

    @property
    def count(self) -> Value:
        """L, INT64 of shape [1]."""
        return self._counts[0] * self._counts[1]

    def pad(self, map_BCHW: Value) -> Value:
        """Returns the map [B, C, P, Q]."""
        return map_BCHW.pad((0, 0, 0, 0), (0, 0, *self._missing))

    def cut(self, map_BCPQ: Value) -> Value:
        """Returns the pixels of each window [B · L, N, C]."""
        if self._shifted:
            map_BCPQ = self._rolled(map_BCPQ, self._shifts)
        (rows, columns), side = self._counts, self._side
        grid = map_BCPQ.reshape(-1, map_BCPQ.length(1), rows, side, columns, side)
        return grid.transpose(0, 2, 4, 3, 5, 1).reshape(-1, side * side, map_BCPQ.length(1))

    def join(self, windows_MwwC: Value) -> Value:
        """Returns the map [B, C, H, W] of windows [B · L, w, w, C], without the padding."""
        (rows, columns), side = self._counts, self._side
        channels = windows_MwwC.length(3)
        grid = windows_MwwC.reshape(-1, rows, columns, side, side, channels)
        made = grid.transpose(0, 5, 1, 3, 2, 4).reshape(-1, channels, *self._padded)
        if self._shifted:
            pairs = zip(self._padded, self._shifts, strict=True)
            made = self._rolled(made, [length - shift for length, shift in pairs])
        return made.slice(2, 0, self._lengths[0]).slice(3, 0, self._lengths[1])

    def outside(self) -> Value:
        """Returns [L, 1, N, N]: 0 where both pixels were neighbours before the shift."""
        rows, columns = (
            self._regions(length, shift)
            for length, shift in zip(self._padded, self._shifts, strict=True)
        )
        regions_PQ = (rows * 3).unsqueeze(1) + columns.unsqueeze(0)
        side = self._side
        grid = regions_PQ.reshape(self._counts[0], side, self._counts[1], side)
        regions_LN = grid.transpose(0, 2, 1, 3).reshape(-1, side * side)
        together = regions_LN.unsqueeze(1).equals(regions_LN.unsqueeze(2)).cast(FLOAT)
        return ((1.0 - together) * _OUTSIDE).unsqueeze(1)

    def _regions(self, length: Value, shift: Value) -> Value:
        """Returns for each place after the shift what it belongs to: 0, 1, or 2 from the start."""
        places = self._graph.arange(length)
        last = (places >= length - self._side).cast(INT64)
        return last + (places >= length - shift).cast(INT64)

    def _rolled(self, map_BCPQ: Value, shifts: Sequence[Value]) -> Value:
        """Returns the map with its first rows and columns put behind the last."""
        for axis, shift in zip((2, 3), shifts, strict=True):
            end = map_BCPQ.length(axis)
            parts = [map_BCPQ.slice(axis, shift, end), map_BCPQ.slice(axis, 0, shift)]
            map_BCPQ = self._graph.concat(parts, axis=axis)
        return map_BCPQ

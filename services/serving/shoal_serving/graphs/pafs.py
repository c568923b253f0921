"""Line integrals of part affinity fields between every pair of peaks of an edge.

Axis legend: B frames, N nodes, E edges, P peaks (S of the source, D of the destination),
T samples on a line, h w map pixels, 2 = (x, y).
"""

from collections.abc import Sequence

from shoal_serving.graphs.builder import FLOAT, INT64, GraphBuilder, Value


def edge_scores(
    pafs_BChw: Value,
    positions_BNP2: Value,
    valid_BNP: Value,
    edges: Sequence[tuple[int, int]],
    samples_BT: Value,
) -> Value:
    """Returns the scores [B, E, P, P] (source, destination); 0 where a peak is missing.

    The mean over samples, at the given parts (0 to 1) of the way from source to destination and
    rounded to map pixels, of the dot product of the field with the unit vector along the line.
    Positions are pixels of the field's map. Channels are (x, y) of the first edge, of the
    second … Shapes follow from those of the inputs: there are as many samples as are given.
    """
    graph = pafs_BChw.graph
    sources, destinations = (graph.constant(nodes, INT64) for nodes in zip(*edges, strict=True))
    valid = valid_BNP.cast(FLOAT)
    clean = graph.where(valid_BNP.unsqueeze(3), positions_BNP2, positions_BNP2.like(0.0))
    source_BES2 = clean.gather(sources, axis=1)
    destination_BED2 = clean.gather(destinations, axis=1)
    both = valid.gather(sources, axis=1).unsqueeze(3) * valid.gather(
        destinations, axis=1
    ).unsqueeze(2)
    step_BESD2 = destination_BED2.unsqueeze(2) - source_BES2.unsqueeze(3)
    fields_BE2p = pafs_BChw.reshape(0, len(edges), 2, -1)
    pixels_BE1t = _pixels(pafs_BChw, source_BES2.unsqueeze(3), step_BESD2, samples_BT)
    field_BE2SDT = fields_BE2p.gather_elements(pixels_BE1t.expand(1, 1, 2, 1), axis=3).reshape(
        0, 0, 2, step_BESD2.length(2), step_BESD2.length(3), samples_BT.length(1)
    )
    mean_BE2SD = field_BE2SDT.reduce("ReduceMean", 5)
    length = _length(graph, step_BESD2)
    along = mean_BE2SD.transpose(0, 1, 3, 4, 2) * (step_BESD2 / length)
    return along.reduce("ReduceSum", 4) * both


def _length(graph: GraphBuilder, step_BESD2: Value) -> Value:
    """Returns |step|, at least a tiny number: a line without length has score 0."""
    squared = (step_BESD2 * step_BESD2).reduce("ReduceSum", 4, keep=True)
    return graph.op("Sqrt", squared).maximum(1e-12)


def _pixels(pafs_BChw: Value, start: Value, step_BESD2: Value, samples_BT: Value) -> Value:
    """Returns the raster indices of the samples of every line: [B, E, 1, S·D·T]."""
    line = start.unsqueeze(4) + step_BESD2.unsqueeze(4) * samples_BT.unsqueeze(1, 2, 3, 5)
    nearest = line.graph.op("Round", line).cast(INT64)
    height, width = pafs_BChw.length(2), pafs_BChw.length(3)
    x = nearest.slice(5, 0, 1).clip(0, width - 1)
    y = nearest.slice(5, 1, 2).clip(0, height - 1)
    return (y * width + x).reshape(0, 0, 1, -1)

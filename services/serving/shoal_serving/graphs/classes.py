"""Class maps at the peaks.

Axis legend: B frames, N nodes, P peaks, K classes, h w map pixels, 2 = (x, y).
"""

from shoal_serving.graphs.builder import FLOAT, INT64, Value


def class_probabilities(maps_BKhw: Value, positions_BNP2: Value, valid_BNP: Value) -> Value:
    """Returns the class maps at the pixels nearest to the peaks: [B, N, P, K]; 0 if missing.

    Positions are pixels of the class maps; SLEAP rounds to the nearest pixel as well.
    """
    graph = maps_BKhw.graph
    clean = graph.where(valid_BNP.unsqueeze(3), positions_BNP2, positions_BNP2.like(0.0))
    nearest = graph.op("Round", clean).cast(INT64)
    height, width = maps_BKhw.length(2), maps_BKhw.length(3)
    x = nearest.slice(3, 0, 1).clip(0, width - 1)
    y = nearest.slice(3, 1, 2).clip(0, height - 1)
    pixels_B1p = (y * width + x).reshape(0, 1, -1)
    every_class = pixels_B1p.expand(1, maps_BKhw.length(1), 1)
    sampled_BKp = maps_BKhw.reshape(0, 0, -1).gather_elements(every_class, axis=2)
    shape = (0, 0, positions_BNP2.length(1), positions_BNP2.length(2))
    sampled_BKNP = sampled_BKp.reshape(*shape)
    return sampled_BKNP.transpose(0, 2, 3, 1) * valid_BNP.unsqueeze(3).cast(FLOAT)

"""Centroids of a frame: the first stage of top-down models.

Axis legend: B frames, I instances, 2 = (x, y).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal_serving.graphs.builder import FLOAT, INT32, Value
from shoal_serving.graphs.instances import blank, limit_instances
from shoal_serving.graphs.network import MAX_INSTANCES, PEAK_THRESHOLD, Network
from shoal_serving.graphs.peaks import local_peaks


@dataclass(frozen=True)
class Centroids:
    """Where animals are; slots that are not valid hold (NaN, NaN) and score 0."""

    points_px_BI2: Value
    scores_BI: Value
    valid_BI: Value
    overflow_B: Value


def find_centroids(network: Network, values: Mapping[str, Value], slot_count: int) -> Centroids:
    """Returns the local peaks of the centroid maps, highest first, in full-frame pixels.

    At most `max_instances` of a frame are valid, if the values have that.
    """
    maps = network.maps(values, network.confidence.name)
    threshold = values[PEAK_THRESHOLD.name]
    peaks, overflow = local_peaks(maps, threshold, slot_count, network.offsets(values))
    points = network.to_frame(peaks.positions_BNP2, network.confidence.stride).squeeze(1)
    valid = peaks.valid_BNP.squeeze(1)
    if MAX_INSTANCES.name in values:
        valid = limit_instances(valid, values[MAX_INSTANCES.name])
    return Centroids(
        points_px_BI2=blank(points, valid.unsqueeze(2)),
        scores_BI=peaks.values_BNP.squeeze(1) * valid.cast(FLOAT),
        valid_BI=valid,
        overflow_B=overflow.cast(INT32).squeeze(1),
    )

"""Line scores of part affinity fields: how well a field supports joining two peaks.

Axis legend: B frames, H W map pixels, N nodes, P peaks (places) per node, E edges, S samples
along a line, 2 = (x, y).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def edge_scores(
    fields_BHWE2: Array,
    peaks_map_BNP2: Array,
    edges: tuple[tuple[int, int], ...],
    sample_count: int = 10,
) -> NDArray[np.float32]:
    """Returns (B, E, P, P): score of joining source peak (axis 2) to destination peak (axis 3).

    The mean over equally spaced samples, both ends included, of the dot product between the
    field and the line's unit vector. Fields are read at the nearest map pixel (halves to the
    even one), not interpolated, as SLEAP's software does; a sample outside the map reads the
    nearest pixel of the border. The paper prints a sum over the samples; its text and software
    average. No distance penalty: `grouping` applies it. (Cao et al., CVPR 2017, eq. 10-11.)

    Args:
        fields_BHWE2: part affinity fields.
        peaks_map_BNP2: peaks in pixels of the fields' grid; NaN marks an empty place.
        edges: (source, destination) node indices.
        sample_count: samples per line S (10 in SLEAP).

    Returns:
        Scores, about −1 to 1; 0 where a place is empty or the two peaks coincide.
    """
    batch, height, width = fields_BHWE2.shape[:3]
    places = peaks_map_BNP2.shape[2]
    if not edges or not places:
        return np.zeros((batch, len(edges), places, places), np.float32)
    sources_E, destinations_E = np.asarray(edges, np.intp).T
    from_BEP12 = peaks_map_BNP2[:, sources_E, :, None].astype(np.float32)
    to_BE1P2 = peaks_map_BNP2[:, destinations_E, None].astype(np.float32)
    vectors_BEPP2 = to_BE1P2 - from_BEP12
    lengths_BEPP1 = np.linalg.norm(vectors_BEPP2, axis=-1, keepdims=True)
    valid_BEPP1 = lengths_BEPP1 > 0  # False for NaN too
    units_BEPP2 = np.zeros_like(vectors_BEPP2)
    np.divide(vectors_BEPP2, lengths_BEPP1, out=units_BEPP2, where=valid_BEPP1)

    steps_S1 = np.linspace(0, 1, sample_count, dtype=np.float32)[:, None]
    line_BEPPS2 = from_BEP12[..., None, :] + vectors_BEPP2[..., None, :] * steps_S1
    pixels_BEPPS2 = np.rint(np.where(valid_BEPP1[..., None], line_BEPPS2, 0)).astype(np.intp)
    columns = np.clip(pixels_BEPPS2[..., 0], 0, width - 1)
    rows = np.clip(pixels_BEPPS2[..., 1], 0, height - 1)
    frames = np.arange(batch).reshape(-1, 1, 1, 1, 1)
    edge_axis = np.arange(len(edges)).reshape(1, -1, 1, 1, 1)
    samples_BEPPS2 = fields_BHWE2[frames, rows, columns, edge_axis]
    dots_BEPPS = np.einsum("bepqsd,bepqd->bepqs", samples_BEPPS2, units_BEPP2)
    return np.asarray(dots_BEPPS.mean(axis=-1), np.float32)

"""From the logits of a map with one peak at most to confidence maps and offsets.

Axis legend: B crops, N nodes, h w map pixels, 2 = (x, y).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

WINDOW_REACH_SIGMAS = 2.0
"""How far the centroid around a peak looks, in standard deviations of the trained Gaussian."""


def peaks_and_offsets(logits_BNhw: Tensor, sigma_map_px: float) -> tuple[Tensor, Tensor]:
    """Returns confidence maps [B, N, h, w] and offset maps [B, 2 N, h, w].

    The probability of each pixel is multiplied by 2πσ², which makes the peak of a node that the
    network is as sure of as its targets were 1. An offset is the way, in map pixels, from a pixel
    to the centroid of the probabilities in the square window around it; channels are x and y of
    the first node, then of the second. What lies outside of the map counts 0.

    Args:
        logits_BNhw: What the network says before the softmax over all pixels.
        sigma_map_px: Standard deviation of the Gaussian that the network was trained on.
    """
    scale = 2.0 * math.pi * sigma_map_px**2
    rows, columns = logits_BNhw.shape[2:]
    # Numbers that small would divide by nothing in float32, far away from any peak.
    flat = torch.softmax(logits_BNhw.float().flatten(2), 2) * scale
    maps = flat.reshape(-1, logits_BNhw.shape[1], rows, columns)
    reach = max(1, round(WINDOW_REACH_SIGMAS * sigma_map_px))
    steps = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    ones = torch.ones_like(steps)
    mass = _windowed(maps, ones, ones) + torch.finfo(torch.float32).tiny
    x = _windowed(maps, ones, steps) / mass
    y = _windowed(maps, steps, ones) / mass
    return maps, torch.stack([x, y], 2).flatten(1, 2)


def _windowed(maps_BNhw: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Returns Σ value · rows[dy] · columns[dx] over the window around each pixel."""
    reach, channels = len(rows) // 2, maps_BNhw.shape[1]
    down = rows.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    right = columns.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    made = functional.conv2d(maps_BNhw, down, padding=(reach, 0), groups=channels)
    return functional.conv2d(made, right, padding=(0, reach), groups=channels)

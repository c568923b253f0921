"""What a network says about an image: its confidence maps over it, and where the nodes are.

Axis legend: N nodes, h w map pixels, H W image pixels, C channels, 2 = (x, y).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_training.plots.picture import COLOURS, picture

Array = NDArray[np.float32]


def draw_map_overlay(
    path: Path, image_CHW: Array, maps_hwN: Array, stride: int, points_px_IN2: Array
) -> None:
    """Draws the network's input, beside it the strongest of its maps over it, with the labels.

    Args:
        path: of the PNG file.
        image_CHW: what the network saw, 0 … 1.
        maps_hwN: confidence maps, 0 … 1.
        stride: image pixels per map pixel.
        points_px_IN2: labelled nodes in pixels of the image.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    channels, height, width = image_CHW.shape
    shown = image_CHW[0] if channels == 1 else np.moveaxis(image_CHW, 0, -1)
    with picture(path, 8.6, 4.1 * height / width + 0.6) as figure:
        plain, over = figure.subplots(1, 2)
        for axes in (plain, over):
            axes.imshow(shown, cmap="gray", vmin=0, vmax=1)
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xlabel="x (px)")
        plain.set(ylabel="y (px)")
        plain.set_title("input, labelled nodes (+)", fontsize=10)
        strongest_hw = np.clip(maps_hwN.max(axis=2), 0, 1)
        # Map pixel j lies on image pixel j · stride.
        half = stride / 2
        rows, columns = strongest_hw.shape
        extent = (-half, columns * stride - half, rows * stride - half, -half)
        drawn = over.imshow(
            strongest_hw,
            cmap="inferno",
            alpha=np.sqrt(strongest_hw),
            vmin=0,
            vmax=1,
            extent=extent,
            interpolation="nearest",
        )
        over.set_title("confidence: the strongest map of each pixel", fontsize=10)
        for axes in (plain, over):
            axes.plot(*points_px_IN2.reshape(-1, 2).T, "+", color=COLOURS[5], markersize=6)
        figure.colorbar(drawn, ax=over, label="confidence", shrink=0.85)

"""Pictures of confidence maps: what a network should say about some samples, and what it says.

Axis legend: B images, C channels, N nodes, h w map pixels, H W image pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from shoal_training.durable import write_durably
from shoal_training.heads import HeadSpec
from shoal_training.learner import Learner, TrainingBatch
from shoal_training.targets import Targets, confidence_maps

Picture = NDArray[np.uint8]
PANEL_PX = 256
"""Least height of one of a picture's three panels."""


class Pictures:
    """Writes `images/<epoch>/<split>_<number>.png`: image, target, and what the network says."""

    def __init__(
        self, run_folder: Path, count: int, heads: Sequence[HeadSpec], targets: Targets
    ) -> None:
        """Takes how many samples of each split are drawn; the first head is that of the maps."""
        self._folder = run_folder / "images"
        self._count = count
        self._head = heads[0]
        self._targets = targets

    def draw(self, epoch: int, split: str, batch: TrainingBatch, learner: Learner) -> None:
        """Draws the first samples of a batch; the network is in evaluation mode.

        Args:
            epoch: 0 for the first; folders are named from 1 on.
            split: Name of the split.
            batch: Of that split.
            learner: Whose evaluated network is asked.

        Raises:
            ResourceExhausted: DISK_FULL.
        """
        folder = self._folder / f"{epoch + 1:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        images = learner.images(batch)[: self._count]
        says = learner.infer(images)[self._head.name].float().cpu()
        wanted = self._wanted(batch)[: self._count]
        for number, panels in enumerate(zip(images.cpu(), wanted, says, strict=True)):
            encoded = cv2.imencode(".png", _picture(*(panel.numpy() for panel in panels)))[1]
            write_durably(folder / f"{split}_{number}.png", encoded.tobytes())

    def _wanted(self, batch: TrainingBatch) -> torch.Tensor:
        height, width = batch.images_BCHW.shape[2:]
        drawn = self._targets.draw(batch.points_BIN2, batch.classes_BI, (height, width))
        target, head = drawn[self._head.name], self._head
        if head.output != "spatial_softmax":
            return target
        size = (height // head.stride, width // head.stride)
        return confidence_maps(target[:, None], size, head.sigma_map_px)


def _picture(
    image_CHW: NDArray[np.float32],
    wanted_Nhw: NDArray[np.float32],
    says_Nhw: NDArray[np.float32],
) -> Picture:
    """Returns the three panels beside one another, BGR."""
    scale = max(1, PANEL_PX // image_CHW.shape[1])
    size_wh = (image_CHW.shape[2] * scale, image_CHW.shape[1] * scale)
    gray: Picture = np.asarray(255 * image_CHW.mean(axis=0), np.uint8)
    shown = np.asarray(cv2.cvtColor(cv2.resize(gray, size_wh), cv2.COLOR_GRAY2BGR), np.uint8)
    panels = [shown, _over(shown, wanted_Nhw), _over(shown, says_Nhw)]
    return np.hstack(panels)


def _over(image: Picture, maps_Nhw: NDArray[np.float32]) -> Picture:
    """Returns the image, darkened, with the largest of the maps over it."""
    height, width = image.shape[:2]
    strongest_hw = np.clip(maps_Nhw.max(axis=0), 0, 1)
    heat = cv2.resize(strongest_hw, (width, height))
    colour = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    # Inferno begins at black, so that adding it leaves the image where no map is.
    return np.asarray(cv2.add(image // 2, colour), np.uint8)

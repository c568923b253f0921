"""Frames on which the nodes of animals are painted in colours, and networks that read colours."""

from dataclasses import dataclass, field

import numpy as np
import torch

from shoal_core.skeleton import Skeleton
from shoal_core.targets import confidence_maps
from shoal_training.heads import CLASS_VECTORS_HEAD, CONFIDENCE_HEADS, HeadSpec
from shoal_training.labelled_set import LabelledFrame, LabelledSet
from shoal_training.model_spec import ModelSpec

SKELETON = Skeleton("stick", ("front", "back"), ((1, 0),))
SIZE_HW = (120, 160)
SIDE = 48


@dataclass
class PaintedVideo:
    """Red where an animal's front is, green its back, blue the middle between them."""

    points_FIN2: np.ndarray
    name: str = "painted"
    is_gray: bool = False
    size_hw: tuple[int, int] = SIZE_HW
    reads: list[int] = field(default_factory=list)

    def read(self, frame_index: int, channels: int) -> np.ndarray:
        self.reads.append(frame_index)
        points_IN2 = self.points_FIN2[frame_index]
        middles_I12 = points_IN2.mean(axis=1, keepdims=True)
        dots_I32 = np.concatenate((points_IN2, middles_I12), axis=1)
        maps = confidence_maps(dots_I32, self.size_hw, output_stride=1, sigma_map_px=1.0)
        return np.rint(255 * maps).astype(np.uint8)[..., :channels]


def painted_set(frame_count: int = 4, seed: int = 0) -> LabelledSet:
    """Two animals a frame, the first of class 0, 30 px long and far apart."""
    rng = np.random.default_rng(seed)
    middles_FI12 = np.array([[40.0, 60.0], [115.0, 60.0]])[:, None] + rng.uniform(
        -15, 15, (frame_count, 2, 1, 2)
    )
    angle_FI1 = rng.uniform(0.3, 1.2, (frame_count, 2, 1))
    along_FI12 = 15 * np.stack((np.cos(angle_FI1), np.sin(angle_FI1)), axis=-1)
    points_FIN2 = np.concatenate((middles_FI12 + along_FI12, middles_FI12 - along_FI12), axis=2)
    points_FIN2 = points_FIN2.astype(np.float32)
    frames = [
        LabelledFrame(0, index, points, np.array([0, 1]))
        for index, points in enumerate(points_FIN2)
    ]
    return LabelledSet(
        skeleton=SKELETON,
        classes=("striped", "plain"),
        videos=[PaintedVideo(points_FIN2)],
        frames=frames,
    )


def painted_spec(kind="centered_instance", **values) -> ModelSpec:
    count = 1 if kind == "centroid" else 2
    heads = [HeadSpec(CONFIDENCE_HEADS[kind], count, 1)]
    classes = ()
    if kind == "multiclass_centered_instance":
        heads.append(HeadSpec(CLASS_VECTORS_HEAD, 2, 1, is_map=False))
        classes = ("striped", "plain")
    defaults = {
        "kind": kind,
        "skeleton": SKELETON,
        "heads": tuple(heads),
        "channels": 3,
        "max_stride": 8,
        "classes": classes,
        "crop_size_px": SIDE if "centered" in kind else None,
        "peak_threshold": 0.3,
    }
    return ModelSpec(**(defaults | values))


def reads_colours(images_BCHW: torch.Tensor) -> dict[str, torch.Tensor]:
    """The nodes' maps are the colours; every first crop of a frame is class 0."""
    classes = torch.eye(2)[torch.arange(len(images_BCHW)) % 2]
    return {
        CONFIDENCE_HEADS["centroid"]: images_BCHW[:, 2:],
        CONFIDENCE_HEADS["centered_instance"]: images_BCHW[:, :2],
        CLASS_VECTORS_HEAD: classes,
    }

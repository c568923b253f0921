"""A folder with labels and images of a synthetic world: bright dots on noise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import sleap_io as sio
from numpy.typing import NDArray

NODES = ("head", "thorax", "tail")
DOT_LEVEL = 250


def write_labels(
    folder: Path,
    frames: Mapping[int, Sequence[NDArray[np.float64]]],
    *,
    name: str = "labels.slp",
    tracks: Sequence[str] = (),
    size_hw: tuple[int, int] = (64, 80),
    edges: Sequence[tuple[str, str]] = (("head", "thorax"), ("thorax", "tail")),
    predicted: bool = False,
    video: str = "video",
) -> Path:
    """Returns a .slp of animals (3 nodes, pixels) whose nodes are dots in images beside it.

    Animal i of a frame has track i, where there are so many. The images have moved since the
    labels were made.
    """
    images = folder / "maker" / video
    images.mkdir(parents=True)
    count = max(frames) + 1
    for index in range(count):
        image = dotted(size_hw, frames.get(index, ()), seed=index)
        cv2.imwrite(str(images / f"img{index:04d}.png"), image)
    skeleton = sio.Skeleton(list(NODES), edges=list(edges), name="fly")
    source = sio.Video(filename=[str(images / f"img{index:04d}.png") for index in range(count)])
    identities = [sio.Track(track) for track in tracks]
    kind = sio.PredictedInstance if predicted else sio.Instance
    labelled = [
        sio.LabeledFrame(
            video=source,
            frame_idx=index,
            instances=[
                kind.from_numpy(
                    points,
                    skeleton=skeleton,
                    track=identities[row] if row < len(identities) else None,
                )
                for row, points in enumerate(animals)
            ],
        )
        for index, animals in frames.items()
    ]
    labels = sio.Labels(labelled, videos=[source], skeletons=[skeleton], tracks=identities)
    path = folder / name
    labels.save(str(path), embed=False, verbose=False)
    images.rename(folder / video)
    images.parent.rmdir()
    return path


def dotted(
    size_hw: tuple[int, int], animals: Sequence[NDArray[np.float64]], *, seed: int
) -> NDArray[np.uint8]:
    """Returns an image [H, W] with a dot of one pixel at each node that is inside."""
    image = np.random.default_rng(seed).integers(1, 60, size_hw).astype(np.uint8)
    for points in animals:
        for x, y in points:
            if np.isfinite((x, y)).all() and 0 <= x < size_hw[1] and 0 <= y < size_hw[0]:
                image[round(y), round(x)] = DOT_LEVEL
    return image


def animal(x: float, y: float) -> NDArray[np.float64]:
    """Returns an animal whose thorax is at (x, y)."""
    return np.array([(x - 6.0, y - 3.0), (x, y), (x + 8.0, y + 2.0)])

"""What is learned from: an image with its animals' points.

Axis legend: I instances, N nodes, H W pixels of the image, C channels, 2 = (x, y).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and its animals, in pixels of the image."""

    image_HWC: NDArray[np.uint8]
    points_px_IN2: NDArray[np.float32]
    """(NaN, NaN) where a node is not labelled. Of crops, instance 0 is the animal that was cut
    out; its centroid is the image's middle."""
    class_indices_I: NDArray[np.int64]
    """Identity of each animal, -1: none."""

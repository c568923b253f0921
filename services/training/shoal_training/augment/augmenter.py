"""A sample, changed at random: posture, place, neighbours, light.

Axis legend: I instances, N nodes, H W pixels of the image, C channels, 2 = (x, y).
"""

from dataclasses import replace

import numpy as np

from shoal_core.coordinates import bounding_boxes
from shoal_core.skeleton import Skeleton
from shoal_training.augment.articulation import Articulation
from shoal_training.augment.light import relight
from shoal_training.augment.paste import is_bright, paste
from shoal_training.augment.placement import draw_placement, to_places, to_points
from shoal_training.augment.symmetry import mirrored_nodes
from shoal_training.augment.warp import Warp
from shoal_training.config import AugmentConfig
from shoal_training.samples import Sample

_PASTE_DISTANCE = (0.25, 0.8)
"""Of a pasted animal from the middle, as a fraction of its bounding box's diagonal: from one
lying on the other to one beside it."""


class Augmenter:
    """Changes samples at random; the same generator state gives the same result."""

    def __init__(
        self,
        config: AugmentConfig,
        skeleton: Skeleton,
        size_hw: tuple[int, int],
        anchor_node: int | None = None,
    ) -> None:
        """Takes the size of the results, and the node at which animals are held in place."""
        self._config = config
        self._size_hw = size_hw
        self._mirrored_N = mirrored_nodes(skeleton)
        self._articulation = Articulation(
            skeleton,
            _hub(skeleton) if anchor_node is None else anchor_node,
            config.articulation_deg,
            config.articulation_scale,
        )

    def __call__(
        self, sample: Sample, rng: np.random.Generator, other: Sample | None = None
    ) -> Sample:
        """Returns the changed sample, of `size_hw`; points that it does not show are NaN.

        Args:
            sample: An image of any size; its middle comes to lie on the result's middle (but
                for the translation).
            rng: What everything is drawn from.
            other: The sample whose instance 0 is laid over this one with the configured
                probability; None: nothing is.
        """
        changed = self._show(sample, rng)
        image_HWC = changed.image_HWC
        if other is not None and rng.random() < self._config.paste_probability:
            beside = self._show(other, rng, _step_aside(other, rng))
            bright = is_bright(other.image_HWC, other.points_px_IN2[0])
            image_HWC = paste(image_HWC, beside.image_HWC, beside.points_px_IN2[0], bright=bright)
        return replace(changed, image_HWC=relight(image_HWC, self._config, rng))

    def _show(self, sample: Sample, rng: np.random.Generator, aside: complex = 0) -> Sample:
        """Returns the sample in a new posture at a new place, so far from the middle."""
        size_hw = sample.image_HWC.shape[:2]
        placement = draw_placement(self._config, size_hw, self._size_hw, rng, aside)
        nodes_IN = to_places(sample.points_px_IN2)
        posed_IN, parts = self._articulation.draw(nodes_IN, rng)
        warp = Warp.of(lambda places: parts.before(placement.before(places)), self._size_hw)
        found_K = warp.find(
            nodes_IN.ravel(), placement.after(posed_IN).ravel(), placement.step_after
        )
        points_IN2 = to_points(found_K.reshape(nodes_IN.shape))
        if placement.mirrored:
            points_IN2 = points_IN2[:, self._mirrored_N]
        return replace(sample, image_HWC=warp.image(sample.image_HWC), points_px_IN2=points_IN2)


def _step_aside(sample: Sample, rng: np.random.Generator) -> complex:
    """Returns a random step that leads from the middle to beside an animal there."""
    left, top, right, bottom = bounding_boxes(sample.points_px_IN2)[0]
    size_px = np.nan_to_num(np.hypot(right - left, bottom - top))
    direction_rad = rng.uniform(0, 2 * np.pi)
    return complex(size_px * rng.uniform(*_PASTE_DISTANCE) * np.exp(1j * direction_rad))


def _hub(skeleton: Skeleton) -> int:
    """Returns the node with the most edges, the first one of them."""
    return int(np.bincount(np.ravel(skeleton.edges).astype(int), minlength=1).argmax())

"""A sample, changed at random: posture, place, neighbours, light.

Axis legend: I instances, N nodes, H W pixels of the image, C channels, 2 = (x, y).
"""

from dataclasses import replace

import numpy as np

from shoal_core.coordinates import bounding_boxes, instance_centroids
from shoal_core.skeleton import Skeleton
from shoal_training.augment.articulation import Articulation
from shoal_training.augment.light import relight
from shoal_training.augment.paste import is_bright, paste
from shoal_training.augment.placement import draw_placement, middle_of, to_places, to_points
from shoal_training.augment.symmetry import mirrored_nodes
from shoal_training.augment.warp import Warp
from shoal_training.config import AugmentConfig
from shoal_training.samples import Sample

_PASTE_DISTANCE = (0.25, 0.8)
"""Of a pasted animal from the middle, as a fraction of its bounding box's diagonal: from one
lying on the other to one beside it."""

_ANYWHERE_PROBABILITY = 0.1
"""Of windows that lie where no animal needs to be."""
_FROM_ANIMAL = 0.25
"""Most distance of a window's middle from its animal's, along each side, as a fraction of it."""


class Augmenter:
    """Changes samples at random; the same generator state gives the same result."""

    def __init__(
        self,
        config: AugmentConfig,
        skeleton: Skeleton,
        size_hw: tuple[int, int],
        anchor_node: int | None = None,
        *,
        sees_window: bool = False,
    ) -> None:
        """Takes how samples change, and what is shown of them.

        Args:
            config: The random changes.
            skeleton: Of the animals.
            size_hw: Of the results.
            anchor_node: At which animals are held in place; None: the one with the most edges.
            sees_window: Whether a result shows some place of the sample, most often one around an
                animal, rather than its middle.
        """
        self._config = config
        self._size_hw = size_hw
        self._sees_window = sees_window
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
            sample: An image of any size; its middle, or a random place, comes to lie on the
                result's middle (but for the translation).
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
        middle = middle_of(sample.image_HWC.shape[:2])
        if self._sees_window:
            middle = _place_to_see(sample, self._size_hw, rng)
        placement = draw_placement(self._config, middle, self._size_hw, rng, aside)
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


def _place_to_see(sample: Sample, window_hw: tuple[int, int], rng: np.random.Generator) -> complex:
    """Returns a place near a random animal or, now and then, anywhere in the image."""
    height, width = sample.image_HWC.shape[:2]
    labelled_I = np.flatnonzero(np.isfinite(sample.points_px_IN2).any(axis=(1, 2)))
    if not labelled_I.size or rng.random() < _ANYWHERE_PROBABILITY:
        return complex(rng.uniform(0, width - 1), rng.uniform(0, height - 1))
    chosen = rng.choice(labelled_I)
    [(x_px, y_px)] = instance_centroids(sample.points_px_IN2[[chosen]], None)
    steps = rng.uniform(-_FROM_ANIMAL, _FROM_ANIMAL, 2)
    return complex(x_px + steps[0] * window_hw[1], y_px + steps[1] * window_hw[0])


def _step_aside(sample: Sample, rng: np.random.Generator) -> complex:
    """Returns a random step that leads from the middle to beside an animal there."""
    left, top, right, bottom = bounding_boxes(sample.points_px_IN2)[0]
    size_px = np.nan_to_num(np.hypot(right - left, bottom - top))
    direction_rad = rng.uniform(0, 2 * np.pi)
    return complex(size_px * rng.uniform(*_PASTE_DISTANCE) * np.exp(1j * direction_rad))


def _hub(skeleton: Skeleton) -> int:
    """Returns the node with the most edges, the first one of them."""
    return int(np.bincount(np.ravel(skeleton.edges).astype(int), minlength=1).argmax())

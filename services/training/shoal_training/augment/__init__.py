"""Random changes of images and points together."""

from shoal_training.augment.augmenter import Augmenter

__all__ = ["Augmenter"]

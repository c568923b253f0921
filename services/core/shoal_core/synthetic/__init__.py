"""Synthetic worlds with known truth: animals that move, cross and hide, and pictures of them."""

from shoal_core.synthetic.observation import Observation, observe
from shoal_core.synthetic.world import SKELETON, SyntheticWorld, WorldConfig

__all__ = ["SKELETON", "Observation", "SyntheticWorld", "WorldConfig", "observe"]

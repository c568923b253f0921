"""The networks: backbones of modular blocks, and the heads that stand on them."""

from shoal_training.networks.build import build_network
from shoal_training.networks.pose_network import PoseNetwork

__all__ = ["PoseNetwork", "build_network"]

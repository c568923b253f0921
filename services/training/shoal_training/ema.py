"""The running mean of a network's weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class RunningMean(Generic[Network]):
    """A second network whose weights are the exponential mean of the first one's.

    Early on the mean reaches back only a tenth of the steps made, so that it does not remember
    the random weights of the beginning. Statistics of normalisations are averaged as well.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network: Network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Takes the weights after a step; `step` is the number of steps made, 1 for the first."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        means, values = [], []
        ours, theirs = self.network.state_dict(), network.state_dict()
        for name, mean in ours.items():
            if mean.is_floating_point():
                means.append(mean)
                values.append(theirs[name])
            else:
                mean.copy_(theirs[name])
        torch._foreach_lerp_(means, values, weight)

"""What a network costs, before anything is trained."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from shoal_training.networks.pose_network import PoseNetwork

_BYTES = 4
_OPTIMIZER_COPIES = 3
"""Of every weight: two moments and AMSGrad's maximum."""


@dataclass(frozen=True)
class NetworkSummary:
    """Figures of one network for images of one size."""

    parameter_count: int
    flops_per_image: int
    """Floating point operations (a multiplication and an addition are two) of one forward pass
    of one image; training needs about three times as many."""
    activation_bytes: int
    """What a batch's layers put out, float32, all of which the backward pass needs."""
    training_bytes: int
    """An estimate of the memory of training: weights, their gradients, Adam's moments with
    AMSGrad, and the activations and one layer's gradient."""


def summarize(network: PoseNetwork, size_hw: tuple[int, int], batch_size: int) -> NetworkSummary:
    """Returns what the network costs.

    Nothing is computed and no memory taken: a copy without numbers is run (torch's "meta" device).

    Args:
        network: Any network; left as it is.
        size_hw: Height and width of its input, multiples of its `max_stride`.
        batch_size: Images of a training step.
    """
    hollow = copy.deepcopy(network).to("meta").eval()
    sizes: list[int] = []

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * _BYTES)

    hooks = [
        layer.register_forward_hook(note)
        for layer in hollow.modules()
        if not list(layer.children())
    ]
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        hollow(torch.empty(1, network.channels, *size_hw, device="meta"))
    for hook in hooks:
        hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    activations = batch_size * sum(sizes)
    weights = (2 + _OPTIMIZER_COPIES) * parameters * _BYTES
    return NetworkSummary(
        parameter_count=parameters,
        flops_per_image=counter.get_total_flops(),
        activation_bytes=activations,
        training_bytes=weights + activations + batch_size * max(sizes),
    )

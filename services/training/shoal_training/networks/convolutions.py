"""Convolutions that keep height and width, and how their weights begin.

Padding follows TensorFlow's "SAME" where it is not symmetric, so that networks compute what
SLEAP's do with the same weights.
"""

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Order = Literal["plain", "norm_first", "norm_last"]
"""What follows a convolution: ReLU; normalisation and ReLU; ReLU and normalisation."""

KERAS_NORM_EPSILON = 1e-3


def norm(channels: int, epsilon: float = KERAS_NORM_EPSILON) -> nn.BatchNorm2d:
    """Returns batch normalisation with Keras's momentum (0.99 of the old statistics is kept)."""
    return nn.BatchNorm2d(channels, eps=epsilon, momentum=0.01)


def conv_block(
    channels: int, filters: int, count: int, kernel_size: int = 3, order: Order = "plain"
) -> nn.Sequential:
    """Returns `count` convolutions one after another, named conv0, norm0, relu0 and so on.

    Args:
        channels: Of what comes in.
        filters: Of every convolution.
        count: How many there are; 0: what comes in goes out.
        kernel_size: Side of the kernels, an odd number of pixels.
        order: What follows each convolution.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(count):
        source = channels if index == 0 else filters
        layers[f"conv{index}"] = nn.Conv2d(source, filters, kernel_size, padding=kernel_size // 2)
        if order == "norm_first":
            layers[f"norm{index}"] = norm(filters)
        layers[f"relu{index}"] = nn.ReLU()
        if order == "norm_last":
            layers[f"norm{index}"] = norm(filters)
    return nn.Sequential(layers)


class HalvingConv(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding: the odd pixel at the bottom right.

    Height and width are even.
    """

    def __init__(self, channels: int, filters: int, kernel_size: int) -> None:
        super().__init__(channels, filters, kernel_size, stride=2)

    def forward(self, feature_BCHW: Tensor) -> Tensor:
        """Returns [B, filters, H / 2, W / 2]."""
        surplus = self.kernel_size[0] - 2
        before, after = surplus // 2, surplus - surplus // 2
        return super().forward(functional.pad(feature_BCHW, (before, after, before, after)))


def initialize_like_keras(module: nn.Module) -> None:
    """Draws the weights as Keras does by default: Glorot's uniform distribution, biases 0.

    (Glorot & Bengio, AISTATS 2010.) SLEAP's own networks begin so.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                with torch.no_grad():
                    layer.bias.zero_()

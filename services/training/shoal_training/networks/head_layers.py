"""The layers of heads: 1×1 convolutions on maps, dense layers on the deepest features.

Weights begin as Keras's do (`initialize_like_keras`), whatever the backbone; biases of sigmoids so
that the head says its prior.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from shoal_core.errors import InvalidArgument
from shoal_training.heads import HeadSpec
from shoal_training.networks.convolutions import initialize_like_keras
from shoal_training.networks.pyramid import Backbone, Pyramid


class MapHead(nn.Module):
    """A linear 1×1 convolution of the feature of the head's stride."""

    def __init__(self, spec: HeadSpec, backbone: Backbone) -> None:
        """Takes what the head says and what it stands on.

        Raises:
            InvalidArgument: NETWORK_INVALID when the backbone has no feature of that stride.
        """
        if spec.stride not in backbone.channels_by_stride:
            strides = ", ".join(map(str, sorted(backbone.channels_by_stride)))
            raise InvalidArgument(
                "NETWORK_INVALID",
                f"{spec.name} has stride {spec.stride}, but the network has features of strides "
                f"{strides}; change the head's output_stride or network.output_stride.",
                head=spec.name,
                stride=spec.stride,
            )
        super().__init__()
        self.conv = nn.Conv2d(backbone.channels_by_stride[spec.stride], spec.channels, 1)
        self._stride = spec.stride
        initialize_like_keras(self)
        if spec.output == "sigmoid" and self.conv.bias is not None:
            nn.init.constant_(self.conv.bias, math.log(spec.prior / (1 - spec.prior)))

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Returns the maps [B, channels, h, w]."""
        maps: Tensor = self.conv(pyramid.by_stride[self._stride])
        return maps


class VectorHead(nn.Module):
    """The largest value of each channel of the deepest feature, then dense layers with ReLU.

    (Pereira et al., Nature Methods 2022, Methods: class vectors of top-down ID models.)
    """

    def __init__(self, spec: HeadSpec, backbone: Backbone) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_dense(backbone.deepest_channels, spec.layers))
        last = spec.layers[-1] if spec.layers else backbone.deepest_channels
        self.last = nn.Linear(last, spec.channels)
        initialize_like_keras(self)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Returns the logits of the classes [B, channels]."""
        logits: Tensor = self.last(self.layers(pyramid.deepest.amax((2, 3))))
        return logits


class StackHeads(nn.Module):
    """The heads of one stack; their layers are under the heads' names."""

    def __init__(self, heads: Sequence[HeadSpec], backbone: Backbone) -> None:
        """Takes what the heads say and what they stand on.

        Raises:
            InvalidArgument: NETWORK_INVALID when the backbone has no feature for one.
        """
        super().__init__()
        for spec in heads:
            head = MapHead(spec, backbone) if spec.is_map else VectorHead(spec, backbone)
            self.add_module(spec.name, head)

    def forward(self, pyramid: Pyramid) -> dict[str, Tensor]:
        """Returns each head's maps or vectors by name, in the order of the heads."""
        return {name: head(pyramid) for name, head in self.named_children()}


def _dense(channels: int, units: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in units:
        layers += [nn.Linear(channels, width), nn.ReLU()]
        channels = width
    return layers

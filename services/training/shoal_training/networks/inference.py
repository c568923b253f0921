"""What a trained network says to serving: probabilities and confidence maps, not logits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import torch
from torch import Tensor, nn

from shoal_training.heads import OFFSETS_HEAD, HeadSpec
from shoal_training.networks.spatial_softmax import peaks_and_offsets


class InferenceNetwork(nn.Module):
    """Images [B, C, H, W] (0 … 1) → the heads that serving reads, by name.

    Sigmoids and softmaxes are applied; a head of the kind `spatial_softmax` becomes confidence
    maps under its own name, and the offsets to the maximum of its probability as an
    OffsetRefinementHead.
    """

    def __init__(self, network: nn.Module, heads: Sequence[HeadSpec]) -> None:
        """Takes the network, whose weights are shared, and its heads."""
        super().__init__()
        self.network = network
        self._trained_heads = tuple(heads)

    @property
    def heads(self) -> tuple[HeadSpec, ...]:
        """What comes out, in the order of `forward`'s keys."""
        found = []
        for spec in self._trained_heads:
            found.append(replace(spec, output="linear", sigma_map_px=0.0))
            if spec.output == "spatial_softmax":
                offsets = HeadSpec(OFFSETS_HEAD, 2 * spec.channels, spec.stride)
                found.append(offsets)
        return tuple(found)

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Returns maps [B, channels, h, w] and vectors [B, channels]."""
        logits = self.network(images_BCHW)
        outputs = {}
        for spec in self._trained_heads:
            value = logits[spec.name]
            match spec.output:
                case "linear":
                    outputs[spec.name] = value
                case "sigmoid":
                    outputs[spec.name] = torch.sigmoid(value)
                case "softmax":
                    outputs[spec.name] = torch.softmax(value, 1)
                case "spatial_softmax":
                    maps, offsets = peaks_and_offsets(value, spec.sigma_map_px)
                    outputs |= {spec.name: maps, OFFSETS_HEAD: offsets}
                case _:
                    assert_never(spec.output)
        return outputs

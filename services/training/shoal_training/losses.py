"""How far a network's heads are from their targets.

Axis legend: B images, C channels (N nodes, K classes), H W map pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from shoal_training.config import HardMining, HeadsConfig
from shoal_training.heads import (
    CLASS_MAPS_HEAD,
    CLASS_VECTORS_HEAD,
    OFFSETS_HEAD,
    PAF_HEAD,
    HeadSpec,
)
from shoal_training.losses_softmax import softmax_loss


@dataclass(frozen=True)
class LossValues:
    """What one batch costs."""

    total: Tensor
    """Weighted sum over the heads, which is made smaller."""
    parts: Mapping[str, Tensor]
    """Head name → its share of the total, detached."""


class Losses:
    """The loss of every head, weighted.

    Mean squared error of confidence maps, fields and offsets (offsets near nodes only);
    cross-entropy of class vectors, of class maps and confidence maps with sigmoids and of spatial
    softmaxes. Networks of several stacks pay for the maps of each.
    """

    def __init__(
        self,
        heads: Sequence[HeadSpec],
        config: HeadsConfig,
        hard_mining: HardMining | None = None,
    ) -> None:
        self.heads = tuple(heads)
        self._mining = hard_mining
        self._weights = {head.name: config.confmaps.loss_weight for head in heads}
        for name, part in (
            (PAF_HEAD, config.pafs),
            (CLASS_MAPS_HEAD, config.class_maps),
            (CLASS_VECTORS_HEAD, config.class_vectors),
        ):
            if part is not None:
                self._weights[name] = part.loss_weight

    def __call__(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> LossValues:
        """Returns the loss of a batch.

        Args:
            outputs: what the network gave, logits where a head has a sigmoid or softmax.
            targets: what `Targets.draw` gave.
        """
        shares = {head.name: self._share(head, outputs, targets[head.name]) for head in self.heads}
        total = torch.stack(list(shares.values())).sum()
        return LossValues(total, {name: share.detach() for name, share in shares.items()})

    def _share(self, head: HeadSpec, outputs: Mapping[str, Tensor], target: Tensor) -> Tensor:
        stacks = [
            output
            for name, output in outputs.items()
            if name == head.name or name.startswith(f"{head.name}/")
        ]
        losses = torch.stack([self._loss(head, output.float(), target) for output in stacks])
        return losses.sum() * self._weights[head.name]

    def _loss(self, head: HeadSpec, output: Tensor, target: Tensor) -> Tensor:
        if head.output == "spatial_softmax":
            return softmax_loss(output, target, head.sigma_map_px)
        if head.output == "softmax":
            return class_vector_loss(output, target)
        if head.name == CLASS_MAPS_HEAD:
            return class_map_loss(output, target)
        if head.output == "sigmoid":
            return peaks_loss(output, target)
        if head.name == OFFSETS_HEAD:
            return offset_loss(output, target)
        loss = functional.mse_loss(output, target)
        if self._mining is not None:
            loss = loss + hard_mining_loss(output, target, self._mining)
        return loss


def class_vector_loss(logits_BK: Tensor, classes_B: Tensor) -> Tensor:
    """Returns the mean cross-entropy of the animals that have a class; 0 where none has."""
    loss_B = functional.cross_entropy(logits_BK, classes_B, ignore_index=-1, reduction="none")
    return loss_B.sum() / (classes_B >= 0).sum().clamp(min=1)


def class_map_loss(logits_BKHW: Tensor, discs_BKHW: Tensor) -> Tensor:
    """Returns the mean cross-entropy inside discs of any class, plus that outside of them.

    Discs cover a few hundredths of a frame: in one mean over all pixels, whose disc it is would
    hardly count.
    """
    loss_BKHW = functional.binary_cross_entropy_with_logits(
        logits_BKHW, discs_BKHW, reduction="none"
    )
    loss_BHW, inside_BHW = loss_BKHW.mean(dim=1), discs_BKHW.amax(dim=1)
    outside_BHW = 1 - inside_BHW
    return (loss_BHW * inside_BHW).sum() / inside_BHW.sum().clamp(min=1) + (
        loss_BHW * outside_BHW
    ).sum() / outside_BHW.sum().clamp(min=1)


def peaks_loss(logits_BNHW: Tensor, peaks_BNHW: Tensor) -> Tensor:
    """Returns the cross-entropy of maps with any number of peaks, per pixel that peaks cover.

    It has two terms, both least where the maps are as they should be: that of each pixel alone
    says how sure a peak is; that of the maps as distributions over their pixels, where it is.
    Without the second, maps are learned first to be empty. Peaks count as one pixel a map at least,
    so that a batch of empty images is no shock.

    Args:
        logits_BNHW: before the sigmoid.
        peaks_BNHW: Gaussians of height 1.
    """
    alone = functional.binary_cross_entropy_with_logits(logits_BNHW, peaks_BNHW, reduction="sum")
    logs_BNP = functional.logsigmoid(logits_BNHW).flatten(2).log_softmax(dim=2)
    together = -(peaks_BNHW.flatten(2) * logs_BNP).sum()
    maps = peaks_BNHW.shape[0] * peaks_BNHW.shape[1]
    return (alone + together) / peaks_BNHW.sum().clamp(min=maps)


def offset_loss(offsets_BCHW: Tensor, targets_BCHW: Tensor) -> Tensor:
    """Returns the mean squared error where the target is not NaN; 0 where no node is near."""
    near_BCHW = ~targets_BCHW.isnan()
    wrong_BCHW = torch.where(near_BCHW, offsets_BCHW - targets_BCHW.nan_to_num(), 0)
    return wrong_BCHW.square().sum() / near_BCHW.sum().clamp(min=1)


def hard_mining_loss(output_BCHW: Tensor, target_BCHW: Tensor, config: HardMining) -> Tensor:
    """Returns what the worst channels cost on top (online hard keypoint mining, as in SLEAP).

    A channel is hard when its squared error, summed over the batch, is `hard_to_easy_ratio`
    times that of the best channel; at least `min_hard_nodes` and at most `max_hard_nodes` count.
    The result is their mean squared error times `loss_scale`.
    """
    batch, channels, height, width = output_BCHW.shape
    wrong_C = (output_BCHW - target_BCHW).square().sum(dim=(0, 2, 3))
    worst_C = wrong_C.sort(descending=True).values
    most = channels if config.max_hard_nodes is None else min(config.max_hard_nodes, channels)
    hard = (worst_C >= config.hard_to_easy_ratio * worst_C[-1]).sum()
    count = hard.clamp(min=config.min_hard_nodes).clamp(max=most)
    counted_C = torch.arange(channels, device=worst_C.device) < count
    return config.loss_scale * (worst_C * counted_C).sum() / (batch * height * width * count)

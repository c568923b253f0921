"""What makes steps out of gradients."""

from typing import assert_never

import torch
from torch import nn

from shoal_training.config import OptimizerConfig


def build_optimizer(config: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Returns the optimiser of a network's parameters.

    Weight decay spares vectors (biases, and scales of normalisations): pulling them towards 0
    takes away what they are there for.
    """
    matrices = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    match config.type:
        case "adam":
            return torch.optim.Adam(
                groups, lr=config.learning_rate, amsgrad=config.amsgrad, fused=True
            )
        case "adamw":
            return torch.optim.AdamW(
                groups, lr=config.learning_rate, amsgrad=config.amsgrad, fused=True
            )
        case _:
            assert_never(config.type)

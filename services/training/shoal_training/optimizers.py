"""What makes steps out of gradients."""

from typing import assert_never

import torch
from torch import nn

from shoal_training.config import OptimizerConfig
from shoal_training.muon import Muon


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
        case "muon":
            return _muon(config, network)
        case _:
            assert_never(config.type)


def _muon(config: OptimizerConfig, network: nn.Module) -> Muon:
    """Returns Muon for the weights in between, AdamW for those of the last layers and vectors."""
    last = {id(p) for name, p in network.named_parameters() if name.startswith("head_layers.")}
    trained = [p for p in network.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1 and id(p) not in last]
    chosen = {id(p) for p in matrices}
    return Muon(
        matrices,
        [p for p in trained if id(p) not in chosen],
        learning_rate=config.learning_rate,
        matrix_factor=config.muon_factor,
        weight_decay=config.weight_decay,
    )

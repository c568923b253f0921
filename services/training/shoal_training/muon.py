"""Muon: momentum whose update of each weight matrix is made orthogonal.

Every direction of a matrix moves by the same amount, not only the few that dominate its gradient
(Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_MOMENTUM = 0.95
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration, which takes singular values in (0, 1] to about 0.7 … 1.2."""
_ITERATIONS = 5


class Muon(Optimizer):
    """Muon for weight matrices (a convolution's has one row per filter), AdamW for the others.

    One optimiser, because a run has one learning rate and one state.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        others: Sequence[Tensor],
        *,
        learning_rate: float,
        matrix_factor: float,
        weight_decay: float,
    ) -> None:
        """Takes the weights of both kinds.

        Args:
            matrices: Weights of two and more axes.
            others: Weights that AdamW moves; those of one axis do not decay.
            learning_rate: Of AdamW.
            matrix_factor: Of Muon's learning rate to AdamW's.
            weight_decay: Share of a weight lost a step, in learning rates (decoupled).
        """
        wide = [weight for weight in others if weight.ndim > 1]
        flat = [weight for weight in others if weight.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "factor": matrix_factor, "weight_decay": weight_decay},
            {"params": wide, "factor": 0.0, "weight_decay": weight_decay},
            {"params": flat, "factor": 0.0, "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """Moves the weights by one step."""
        for group in self.param_groups:
            rate = group["lr"] * (group["factor"] or 1.0)
            direction = self._orthogonal_step if group["factor"] else self._adam_step
            for weight in group["params"]:
                if weight.grad is not None:
                    update = direction(weight, weight.grad)
                    weight.mul_(1 - rate * group["weight_decay"])
                    weight.add_(update, alpha=-rate)

    def _orthogonal_step(self, weight: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        # Nesterov's: where the momentum leads to.
        matrix = torch.lerp(gradient, state["momentum"], _MOMENTUM).reshape(len(weight), -1)
        # Tall matrices make more numbers of each input than wide ones.
        scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        update: Tensor = orthogonal(matrix).reshape(weight.shape) * scale
        return update

    def _adam_step(self, weight: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
            state["square"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())
        state["step"] += 1
        step = state["step"].item()
        state["mean"].lerp_(gradient, 1 - _BETAS[0])
        state["square"].lerp_(gradient.square(), 1 - _BETAS[1])
        mean = state["mean"] / (1 - _BETAS[0] ** step)
        spread = (state["square"] / (1 - _BETAS[1] ** step)).sqrt()
        update: Tensor = mean / (spread + _EPSILON)
        return update


def orthogonal(matrix: Tensor) -> Tensor:
    """Returns the nearest matrix with singular values about 1 (Newton-Schulz iteration)."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    wide: Tensor = matrix.T if tall else matrix
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if tall else wide

"""Muon: momentum whose update of each weight matrix is made orthogonal.

Every direction of a matrix moves by the same amount, not only the few that dominate its gradient
(Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

Axis legend: K matrices, m the shorter side of a matrix.
"""

from collections import defaultdict
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
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                rate = group["lr"] * (group["factor"] or 1.0)
                directions = self._orthogonal_steps if group["factor"] else self._adam_steps
                updates = directions(weights)
                torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
                torch._foreach_add_(weights, updates, alpha=-rate)

    def _orthogonal_steps(self, weights: list[Tensor]) -> list[Tensor]:
        for weight in weights:
            if weight not in self.state:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients = [_gradient(weight) for weight in weights]
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        # Nesterov's: where the momentum leads to.
        ahead = [_rows(step) for step in torch._foreach_lerp(gradients, momenta, _MOMENTUM)]
        # Tall matrices make more numbers of each input than wide ones.
        return [
            _like(matrix, weight).mul_(max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)
            for matrix, weight in zip(orthogonal(ahead), weights, strict=True)
        ]

    def _adam_steps(self, weights: list[Tensor]) -> list[Tensor]:
        for weight in weights:
            if weight not in self.state:
                state = self.state[weight]
                state["mean"] = torch.zeros_like(weight)
                state["square"] = torch.zeros_like(weight)
                state["step"] = torch.zeros(())
        states = [self.state[weight] for weight in weights]
        gradients = [_gradient(weight) for weight in weights]
        means, squares = ([state[name] for state in states] for name in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1 - _BETAS[0])
        torch._foreach_mul_(squares, _BETAS[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - _BETAS[1])
        for state in states:
            state["step"] += 1
        steps = [state["step"].item() for state in states]
        spreads = torch._foreach_div(squares, [1 - _BETAS[1] ** step for step in steps])
        torch._foreach_sqrt_(spreads)
        torch._foreach_add_(spreads, _EPSILON)
        updates = torch._foreach_div(means, [1 - _BETAS[0] ** step for step in steps])
        torch._foreach_div_(updates, spreads)
        return list(updates)


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Returns, for each matrix, the nearest one with singular values about 1.

    Newton-Schulz iteration, X ← (a + b·XXᵀ + c·(XXᵀ)²)·X, of XXᵀ instead of X: each factor is a
    polynomial of the first XXᵀ, whose side is the shorter one of the matrix. So only the first
    and the last product are as large as the matrix, and matrices of equal sides go together.
    """
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    by_side = defaultdict(list)
    for index, matrix in enumerate(wide):
        by_side[len(matrix)].append(index)
    made = list(wide)
    for indices in by_side.values():
        grams_Kmm = torch.stack([wide[index] @ wide[index].T for index in indices])
        for index, factor_mm in zip(indices, _factors(grams_Kmm), strict=True):
            made[index] = factor_mm @ wide[index]
    return [
        result.T if matrix.shape[0] > matrix.shape[1] else result
        for result, matrix in zip(made, matrices, strict=True)
    ]


def _factors(grams_Kmm: Tensor) -> Tensor:
    """Returns what orthogonalises matrices X, from their XXᵀ."""
    norms_K11 = grams_Kmm.diagonal(dim1=1, dim2=2).sum(dim=1).sqrt()[:, None, None] + 1e-7
    gram = grams_Kmm / norms_K11.square()
    factor = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device).expand_as(gram)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        beside = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # without the a of a + bG + cG²
        factor = torch.baddbmm(factor, factor, beside, beta=a)
        for _ in range(2):  # (a + bG + cG²)²·G
            gram = torch.baddbmm(gram, beside, gram, beta=a)
    return factor / norms_K11


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def _rows(weight: Tensor) -> Tensor:
    """Returns one row per filter; where the channels lie last in memory, as they lie there."""
    return weight.movedim(1, -1).flatten(1) if weight.ndim > 2 else weight


def _like(rows: Tensor, weight: Tensor) -> Tensor:
    """Returns rows in the shape of the weight that they were made of."""
    if weight.ndim <= 2:
        return rows
    return rows.reshape(len(rows), *weight.shape[2:], weight.shape[1]).movedim(-1, 1)

"""Laws of Muon."""

import pytest
import torch

from shoal_training.muon import Muon, orthogonal


def muon(
    matrices: list[torch.Tensor],
    others: list[torch.Tensor] | None = None,
    weight_decay: float = 0.0,
) -> Muon:
    return Muon(
        matrices, others or [], learning_rate=0.1, matrix_factor=1.0, weight_decay=weight_decay
    )


@pytest.mark.parametrize("shape", [(8, 72), (40, 8), (16, 16)])
def test_every_direction_of_an_update_is_about_as_large(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal([matrix])[0])
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_the_size_of_the_gradient_does_not_matter() -> None:
    gradient = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    moved = []
    for size in (1e-4, 1e3):
        weight = torch.zeros(6, 3, 3, 3, requires_grad=True)
        weight.grad = gradient * size
        muon([weight]).step()
        moved.append(weight.detach())
    torch.testing.assert_close(moved[0], moved[1], rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("is_matrix", [True, False])
def test_it_finds_the_weights_of_a_linear_map(is_matrix: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(5, 7, generator=generator)
    weight = torch.zeros(5, 7, requires_grad=True)
    optimizer = muon([weight], []) if is_matrix else muon([], [weight])
    for step in range(200):
        inputs = torch.randn(32, 7, generator=generator)
        optimizer.zero_grad()
        (inputs @ (weight - truth).T).square().mean().backward()
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 200)
        optimizer.step()
    assert torch.linalg.norm(weight - truth) < 0.05 * torch.linalg.norm(truth)


def test_weights_of_one_axis_do_not_decay() -> None:
    vector, matrix = torch.ones(3, requires_grad=True), torch.ones(3, 3, requires_grad=True)
    vector.grad, matrix.grad = torch.zeros(3), torch.zeros(3, 3)
    muon([matrix], [vector], weight_decay=0.5).step()
    assert torch.equal(vector, torch.ones(3))
    assert (matrix < 1).all()


def test_the_other_weights_go_as_with_adamw() -> None:
    gradients = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.ones(4, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    optimizers = (
        muon([], [ours], weight_decay=0.1),
        torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.1),
    )
    for gradient in gradients:
        ours.grad, theirs.grad = gradient, gradient
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped() -> None:
    gradients = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    straight, stopped = (
        [torch.zeros(3, 5, requires_grad=True) for _ in range(2)] for _ in range(2)
    )
    one, other = muon(straight[:1], straight[1:]), muon(stopped[:1], stopped[1:])
    for index, gradient in enumerate(gradients):
        if index == 2:
            state = other.state_dict()
            other = muon(stopped[:1], stopped[1:])
            other.load_state_dict(state)
        for weight in (*straight, *stopped):
            weight.grad = gradient
        one.step()
        other.step()
    for left, right in zip(straight, stopped, strict=True):
        assert torch.equal(left, right)

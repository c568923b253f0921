"""Laws of heads, losses, schedules and running means."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_training.config import (
    ClassMapsHead,
    ClassVectorsHead,
    ConfmapsHead,
    CosineSchedule,
    HardMining,
    HeadsConfig,
    ModelKind,
    PafsHead,
    PlateauSchedule,
)
from shoal_training.ema import RunningMean
from shoal_training.heads import head_specs, stack_name
from shoal_training.losses import (
    Losses,
    class_map_loss,
    class_vector_loss,
    hard_mining_loss,
    offset_loss,
    peaks_loss,
)
from shoal_training.schedule import Schedule

SKELETON = Skeleton("animal", ("a", "b", "c"), ((0, 1), (1, 2)))
ALL = HeadsConfig(pafs=PafsHead(), class_maps=ClassMapsHead(), class_vectors=ClassVectorsHead())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("single_instance", [("SingleInstanceConfmapsHead", 3)]),
        ("centroid", [("CentroidConfmapsHead", 1)]),
        ("centered_instance", [("CenteredInstanceConfmapsHead", 3)]),
        ("bottomup", [("MultiInstanceConfmapsHead", 3), ("PartAffinityFieldsHead", 4)]),
        ("multiclass_bottomup", [("MultiInstanceConfmapsHead", 3), ("ClassMapsHead", 2)]),
        (
            "multiclass_centered_instance",
            [("CenteredInstanceConfmapsHead", 3), ("ClassVectorsHead", 2)],
        ),
    ],
)
def test_each_kind_has_the_heads_that_serving_knows(
    kind: ModelKind, expected: list[tuple[str, int]]
) -> None:
    specs = head_specs(kind, ALL, SKELETON, class_count=2)
    assert [(spec.name, spec.channels) for spec in specs] == expected


@pytest.mark.parametrize("kind", ["bottomup", "multiclass_bottomup"])
def test_a_head_that_is_not_described_is_asked_for(kind: ModelKind) -> None:
    with pytest.raises(InvalidArgument, match="needs heads") as raised:
        head_specs(kind, HeadsConfig(), SKELETON, class_count=2)
    assert raised.value.reason == "HEAD_MISSING"


def test_offsets_are_a_head_of_their_own_unless_the_maps_hold_them() -> None:
    for loss, count in (("mse", 2), ("softmax", 1)):
        confmaps = ConfmapsHead(loss=loss, offset_refinement=True)
        specs = head_specs("centered_instance", HeadsConfig(confmaps=confmaps), SKELETON)
        assert len(specs) == count


def test_every_stack_of_a_network_pays_and_weights_count() -> None:
    heads = HeadsConfig(confmaps=ConfmapsHead(loss_weight=3.0))
    specs = head_specs("single_instance", heads, SKELETON)
    name = specs[0].name
    target = torch.zeros(2, 3, 4, 4)
    outputs = {name: target + 1, stack_name(name, 0): target + 2}
    value = Losses(specs, heads)(outputs, {name: target})
    assert float(value.total) == pytest.approx(3 * (1 + 4))
    assert float(value.parts[name]) == float(value.total)


def test_animals_without_class_do_not_count() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 5.0], [9.0, 0.0]])
    some = class_vector_loss(logits, torch.tensor([0, -1, 0]))
    assert float(some) == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(-9))) / 2)
    assert float(class_vector_loss(logits, torch.tensor([-1, -1, -1]))) == 0


def test_discs_count_as_much_as_the_rest_of_the_frame() -> None:
    discs = torch.zeros(1, 2, 8, 8)
    discs[0, 0, 0, 0] = 1
    right = torch.where(discs > 0, 20.0, -20.0)
    wrong_inside, wrong_outside = right.clone(), right.clone()
    wrong_inside[:, :, 0, 0] *= -1
    wrong_outside[:, :, 1:, :] *= -1
    wrong_outside[:, :, 0, 1:] *= -1
    assert float(class_map_loss(right, discs)) < 1e-6
    inside, outside = class_map_loss(wrong_inside, discs), class_map_loss(wrong_outside, discs)
    assert float(inside) == pytest.approx(float(outside), rel=1e-5)
    assert float(class_map_loss(right, torch.zeros_like(discs))) > 0.1


def test_maps_of_sigmoids_are_best_where_they_are_the_target() -> None:
    heads = head_specs("bottomup", replace(ALL, confmaps=ConfmapsHead(loss="sigmoid")), SKELETON)
    [confmaps, fields] = heads
    targets = {confmaps.name: torch.rand(2, 3, 4, 5), fields.name: torch.zeros(2, 4, 2, 3)}
    loss_of = Losses(heads, ALL)

    def loss(logits: torch.Tensor) -> float:
        return float(loss_of({**targets, confmaps.name: logits}, targets).total)

    best = torch.logit(targets[confmaps.name])
    for node in range(3):
        for step in (-0.5, 0.5):
            other = best.clone()
            other[:, node, 1, 2] += step
            assert loss(other) > loss(best)


def test_empty_surroundings_of_peaks_cost_nothing() -> None:
    peaks, logits = torch.rand(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    around = functional.pad(logits, (8, 8, 8, 8), value=-40)
    loss = peaks_loss(around, functional.pad(peaks, (8, 8, 8, 8)))
    assert float(loss) == pytest.approx(float(peaks_loss(logits, peaks)), rel=1e-5)
    assert float(peaks_loss(logits, torch.zeros_like(peaks))) > 0


def test_offsets_count_near_nodes_only() -> None:
    targets = torch.full((1, 2, 4, 4), math.nan)
    targets[0, :, 1, 1] = 0.5
    offsets = torch.full((1, 2, 4, 4), 7.0, requires_grad=True)
    loss = offset_loss(offsets, targets)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(6.5**2)
    assert offsets.grad is not None
    assert int((offsets.grad != 0).sum()) == 2
    assert not offsets.grad.isnan().any()
    assert float(offset_loss(offsets.detach(), torch.full_like(targets, math.nan))) == 0


def test_hard_mining_takes_the_worst_nodes() -> None:
    target = torch.zeros(1, 4, 2, 2)
    output = target + torch.tensor([1.0, 1.1, 3.0, 2.0])[None, :, None, None]
    mean_square = {0: 1.0, 1: 1.21, 2: 9.0, 3: 4.0}
    mined = hard_mining_loss(output, target, HardMining(min_hard_nodes=1, loss_scale=1.0))
    assert float(mined) == pytest.approx((mean_square[2] + mean_square[3]) / 2)
    most = HardMining(min_hard_nodes=1, max_hard_nodes=1, loss_scale=2.0)
    assert float(hard_mining_loss(output, target, most)) == pytest.approx(2 * mean_square[2])
    least = HardMining(hard_to_easy_ratio=100, min_hard_nodes=3, loss_scale=1.0)
    assert float(hard_mining_loss(output, target, least)) == pytest.approx((9 + 4 + 1.21) / 3)


def test_a_plateau_lowers_the_rate_and_then_waits() -> None:
    config = PlateauSchedule(patience_epochs=2, cooldown_epochs=2, factor=0.5)
    schedule = Schedule(config, 1.0)
    rates = []
    for loss in (3.0, 2.0, *(2.0,) * 7):
        schedule.end_epoch(loss)
        rates.append(schedule.rate(0, 0))
    #                           two wait  cooldown  two wait
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_a_cosine_warms_up_and_ends_at_nothing() -> None:
    schedule = Schedule(CosineSchedule(warmup_steps=10), 1.0)
    assert schedule.rate(0, 0.0) == pytest.approx(0.1)
    assert schedule.rate(9, 0.0) == pytest.approx(1.0)
    assert schedule.rate(100, 0.5) == pytest.approx(0.5)
    assert schedule.rate(100, 1.0) == pytest.approx(0.0)
    schedule.set_rate(0.25, 100, 0.5)
    assert schedule.rate(100, 0.5) == pytest.approx(0.25)
    assert schedule.rate(100, 1.0) == pytest.approx(0.0)


def test_the_running_mean_follows_and_does_not_remember_the_beginning() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 100.0)
    mean = RunningMean(network, 0.9)
    nn.init.constant_(network.weight, 1.0)
    for step in range(1, 51):
        mean.update(network, step)
    assert float(mean.network.weight.detach()) == pytest.approx(1.0, abs=0.1)
    nn.init.constant_(network.weight, 2.0)
    mean.update(network, 1000)
    assert float(mean.network.weight.detach()) == pytest.approx(1.1, abs=0.02)
    assert not mean.network.weight.requires_grad

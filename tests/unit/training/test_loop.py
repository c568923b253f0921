"""Laws of the loop, with a tiny network."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoal_core.errors import FailedPrecondition, NotFound, ResourceExhausted
from shoal_training.checkpoint import BEST, LAST, load_best, load_last
from shoal_training.commands import Command, SetLearningRate, Stop
from shoal_training.config import (
    CosineSchedule,
    EarlyStopping,
    OptimizerConfig,
    PlateauSchedule,
)
from shoal_training.reports import BatchReport
from tests.unit.training.small_disk import full_disk
from tests.unit.training.tiny import Recorder, tiny_config, tiny_task, train_tiny

FAST = OptimizerConfig(type="adamw", learning_rate=1e-2)


def _losses(recorder: Recorder) -> dict[int, float]:
    return {report.step: report.loss for report in recorder.batches}


def _equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a | b)


def test_the_loss_falls_and_the_best_network_is_kept(tmp_path: Path) -> None:
    recorder = Recorder()
    config = tiny_config(epochs=6, min_batches_per_epoch=20, optimizer=FAST)
    result = train_tiny(config, tmp_path, recorder)
    validations = [report.validation.total for report in recorder.epochs if report.validation]
    assert validations[-1] < validations[0] / 2
    assert result.reason == "epochs"
    assert result.best_loss == min(validations)
    assert result.best_epoch == validations.index(min(validations)) + 1
    assert [report.is_best for report in recorder.epochs] == [
        loss == min(validations[: index + 1]) for index, loss in enumerate(validations)
    ]


def test_reports_come_in_order_and_tell_every_step(tmp_path: Path) -> None:
    recorder = Recorder()
    train_tiny(tiny_config(epochs=2, min_batches_per_epoch=3), tmp_path, recorder)
    told = [event for event in recorder.events if event != "beat"]
    assert told == [
        "train_begin",
        "epoch_begin 0",
        "epoch_end 0",
        "epoch_begin 1",
        "epoch_end 1",
        "train_end",
    ]
    assert [(r.epoch, r.batch, r.step) for r in recorder.batches] == [
        (0, 0, 1),
        (0, 1, 2),
        (0, 2, 3),
        (1, 0, 4),
        (1, 1, 5),
        (1, 2, 6),
    ]
    assert recorder.events.count("beat") >= 4  # validations beat as well


@pytest.mark.parametrize(
    "schedule", [PlateauSchedule(patience_epochs=1), CosineSchedule(warmup_steps=4)]
)
@pytest.mark.parametrize("ended", [1, 2, 3])
def test_a_run_that_goes_on_after_any_epoch_ends_bit_for_bit_the_same(
    tmp_path: Path, ended: int, schedule: PlateauSchedule | CosineSchedule
) -> None:
    config = tiny_config(epochs=4, schedule=schedule)
    whole, first, second = Recorder(), Recorder(), Recorder()
    train_tiny(config, tmp_path / "whole", whole)

    class Killed(Exception):
        pass

    def kill(report: BatchReport) -> None:
        if report.step == ended * 5 + 2:
            raise Killed

    first = Recorder(kill)
    with pytest.raises(Killed):
        train_tiny(config, tmp_path / "cut", first)
    train_tiny(config, tmp_path / "cut", second)
    assert second.batches[0].epoch == ended
    assert _losses(first) | _losses(second) == _losses(whole)
    assert _equal(load_best(tmp_path / "cut").network, load_best(tmp_path / "whole").network)
    cut, undisturbed = load_last(tmp_path / "cut"), load_last(tmp_path / "whole")
    assert cut is not None
    assert undisturbed is not None
    assert _equal(cut.network, undisturbed.network)


def test_the_best_checkpoint_holds_the_running_mean(tmp_path: Path) -> None:
    train_tiny(tiny_config(epochs=1), tmp_path)
    last = load_last(tmp_path)
    assert last is not None
    assert last.mean_network is not None
    assert _equal(load_best(tmp_path).network, last.mean_network)
    assert not _equal(load_best(tmp_path).network, last.network)


def test_two_batches_in_one_step_are_as_one_of_twice_the_size(tmp_path: Path) -> None:
    config = tiny_config(epochs=1, min_batches_per_epoch=6, accumulation_steps=4)
    recorder = Recorder()
    train_tiny(config, tmp_path, recorder)
    # 6 batches: a step of 4, and the 2 that are left.
    assert [report.step for report in recorder.batches] == [1, 2]


def test_training_ends_early_when_the_validation_loss_no_longer_falls(tmp_path: Path) -> None:
    # No loss is lower than the best by so much: the first epoch stays the best.
    patience = EarlyStopping(patience_epochs=2, min_delta=1e6)
    result = train_tiny(tiny_config(epochs=20, early_stopping=patience), tmp_path)
    assert (result.reason, result.epochs) == ("early_stopping", 3)


def test_without_validation_the_last_network_is_kept(tmp_path: Path) -> None:
    recorder = Recorder()
    still = OptimizerConfig(learning_rate=1e-9)  # losses differ by what the epochs' samples are
    config = tiny_config(epochs=6, optimizer=still)
    result = train_tiny(config, tmp_path, recorder, validation_batches=0)
    assert all(report.validation is None for report in recorder.epochs)
    losses = [report.training.total for report in recorder.epochs]
    assert losses[-1] > min(losses)
    assert (result.best_epoch, result.best_loss) == (6, losses[-1])
    assert load_best(tmp_path).epoch == 6


def test_time_that_is_over_ends_training_and_leaves_room_for_the_evaluation(
    tmp_path: Path,
) -> None:
    clock = [0.0]

    class Slow(Recorder):
        """A step takes a second, a batch of the validation two."""

        def batch_end(self, report: BatchReport) -> None:
            super().batch_end(report)
            clock[0] += 1

        def beat(self) -> None:
            clock[0] += 2

    recorder = Slow()
    config = tiny_config(epochs=1000, time_budget_s=300, schedule=CosineSchedule(warmup_steps=1))
    result = train_tiny(config, tmp_path, recorder, clock=lambda: clock[0])
    assert result.reason == "time_budget"
    # 4 s are for the last validation, 4 s are left for the evaluation after it.
    assert 290 <= result.seconds <= 297
    # The cosine ends with the time.
    assert recorder.batches[-1].learning_rate < 1e-3 * config.optimization.optimizer.learning_rate


def test_time_that_is_over_within_the_first_epoch_leaves_room_as_well(tmp_path: Path) -> None:
    clock = [0.0]

    def pass_time(report: BatchReport) -> None:
        clock[0] += 3

    recorder = Recorder(pass_time)
    config = tiny_config(epochs=9, min_batches_per_epoch=1000, time_budget_s=90)
    result = train_tiny(config, tmp_path, recorder, clock=lambda: clock[0], validation_batches=10)
    # A batch of the validation is expected to take 1 s: 10 s, and as much for the evaluation.
    assert 66 <= result.seconds <= 75


def test_a_stop_ends_after_the_step_and_keeps_what_was_learned(tmp_path: Path) -> None:
    waiting: list[Command] = []
    recorder = Recorder(lambda report: waiting.append(Stop()) if report.step == 7 else None)

    def commands() -> list[Command]:
        taken = waiting[:]
        waiting.clear()
        return taken

    result = train_tiny(tiny_config(epochs=50), tmp_path, recorder, commands=commands)
    assert result.reason == "stopped"
    assert result.epochs == 2
    assert 7 <= result.steps <= 9
    last = load_last(tmp_path)
    assert last is not None
    assert last.steps == result.steps


def test_a_stop_before_the_first_step_says_that_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no epoch of this run has ended"):
        train_tiny(tiny_config(), tmp_path, commands=lambda: [Stop()])


def test_a_learning_rate_can_be_set_while_training_runs(tmp_path: Path) -> None:
    recorder = Recorder()
    asked = iter([[], [], [SetLearningRate(0.5e-5)]])
    train_tiny(tiny_config(epochs=1), tmp_path, recorder, commands=lambda: next(asked, []))
    rates = [report.learning_rate for report in recorder.batches]
    assert rates == [1e-4, 1e-4, 0.5e-5, 0.5e-5, 0.5e-5]


def test_a_loss_that_diverges_is_an_error_and_the_best_network_is_kept(tmp_path: Path) -> None:
    train_tiny(tiny_config(epochs=1), tmp_path)
    before = (tmp_path / BEST).read_bytes(), (tmp_path / LAST).read_bytes()
    wild = tiny_config(epochs=9)
    with pytest.raises(FailedPrecondition, match=r"best\.pt") as raised:
        train_tiny(wild, tmp_path, commands=lambda: [SetLearningRate(1e30)])
    assert raised.value.reason == "LOSS_DIVERGED"
    assert ((tmp_path / BEST).read_bytes(), (tmp_path / LAST).read_bytes()) == before


def test_bf16_learns_as_well_as_fp32(tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        config = tiny_config(
            epochs=4, min_batches_per_epoch=20, optimizer=FAST, precision=precision
        )
        losses[precision] = train_tiny(config, tmp_path / precision).best_loss
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)
    assert losses["bf16"] != losses["fp32"]


def test_gradients_are_clipped_to_the_norm(tmp_path: Path) -> None:
    config = tiny_config(epochs=1, min_batches_per_epoch=1, max_gradient_norm=1e-12, ema_decay=None)
    clipped = replace(
        config,
        optimization=replace(config.optimization, optimizer=OptimizerConfig(learning_rate=1e-3)),
    )
    before = tiny_task(clipped).network.state_dict()
    train_tiny(clipped, tmp_path)
    after = load_best(tmp_path).network
    moved = max(
        float((after[name] - before[name]).abs().max()) for name in after if "weight" in name
    )
    # Adam divides by the gradient's size + 1e-8: gradients far below it hardly move anything.
    assert 0 <= moved < 1e-6
    assert not math.isnan(moved)


def test_a_full_disk_is_an_error_and_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(ResourceExhausted) as raised:
        train_tiny(tiny_config(epochs=1), tmp_path)
    assert raised.value.reason == "DISK_FULL"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == []

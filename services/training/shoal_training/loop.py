"""The loop: epochs of steps, each with its validation, until there is a reason to end."""

import itertools
import logging
import math
from contextlib import closing
from dataclasses import dataclass

import torch

from shoal_core.errors import FailedPrecondition
from shoal_training.checkpoint import (
    BEST,
    Best,
    Last,
    load_best,
    load_last,
    random_states,
    restore_random_states,
    save_best,
    save_last,
)
from shoal_training.config import TrainingConfig
from shoal_training.devices import determinism
from shoal_training.learner import Learner, Task, TrainingBatch
from shoal_training.reports import BatchReport, EpochReport, MeanLosses
from shoal_training.run_clock import RunClock
from shoal_training.schedule import Patience, Schedule
from shoal_training.steering import Reason, Steering
from shoal_training.surroundings import Splits, Surroundings
from shoal_training.tally import Tally

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How training ended; its network is in the run folder's best checkpoint."""

    reason: Reason
    epochs: int
    steps: int
    seconds: float
    best_epoch: int
    """Epochs that were over when the best network was found."""
    best_loss: float


def train(
    config: TrainingConfig, task: Task, splits: Splits, surroundings: Surroundings
) -> RunResult:
    """Trains until the epochs, the time or the patience are over, or a stop is wanted.

    Goes on from the last checkpoint where the run folder holds one; an epoch that was cut by a
    kill begins anew.

    Raises:
        FailedPrecondition: LOSS_DIVERGED when the loss is no number; the best network is kept.
        NotFound: CHECKPOINT_MISSING when training ended before any network was the best.
        ResourceExhausted: DISK_FULL; the checkpoint before is still there.
    """
    with determinism(wanted=config.run.deterministic):
        loop = _Loop(config, task, splits, surroundings)
        loop.restore()
        surroundings.listener.train_begin()
        try:
            return loop.run()
        finally:
            surroundings.listener.train_end()


class _Loop:
    """The state of a run between its epochs."""

    def __init__(
        self, config: TrainingConfig, task: Task, splits: Splits, surroundings: Surroundings
    ) -> None:
        self._config = config
        self._part_names = [head.name for head in task.losses.heads]
        self._splits = splits
        self._around = surroundings
        self._place = surroundings.device.torch_device
        optimization = config.optimization
        self._learner = Learner(task, optimization, surroundings.device, surroundings.processes)
        self._validation_batches = splits.validation.batches_per_epoch
        self._clock = RunClock(optimization.time_budget_s, surroundings.clock)
        self._patience = Patience(optimization.early_stopping)
        self._steps_per_epoch = math.ceil(
            splits.training.batches_per_epoch / optimization.accumulation_steps
        )
        self._steering = Steering(
            Schedule(optimization.schedule, optimization.optimizer.learning_rate),
            self._clock,
            surroundings.commands,
            surroundings.processes,
            self._place,
            self._steps_per_epoch * optimization.epochs,
        )
        self._epochs = self._saved_epochs = self._steps = 0
        self._best_loss = math.inf

    def run(self) -> RunResult:
        """Trains from where it is to the end."""
        while (reason := self._reason()) is None:
            self._epoch()
        if self._saved_epochs < self._epochs:
            self._save_last()
        best = load_best(self._around.run_folder)
        return RunResult(
            reason=reason,
            epochs=self._epochs,
            steps=self._steps,
            seconds=self._clock.seconds,
            best_epoch=best.epoch,
            best_loss=best.loss,
        )

    def restore(self) -> None:
        """Goes on from the last checkpoint, where there is one."""
        last = load_last(self._around.run_folder)
        if last is None:
            return
        self._learner.restore(vars(last))
        self._steering.restore(last.schedule)
        self._patience.restore(last.patience)
        restore_random_states(last.random_states, self._place)
        self._epochs = self._saved_epochs = last.epochs
        self._steps = last.steps
        self._clock.restore(last.seconds)
        # Asked of the file: the best may be younger than the last, if a kill came between them.
        if (self._around.run_folder / BEST).exists():
            self._best_loss = load_best(self._around.run_folder).loss
        LOGGER.info("Goes on after epoch %d (%d steps).", self._epochs, self._steps)

    def _reason(self) -> Reason | None:
        if self._steering.end is not None:
            return self._steering.end
        if self._epochs >= self._config.optimization.epochs:
            return "epochs"
        return "early_stopping" if self._patience.is_over else None

    def _epoch(self) -> None:
        clock, processes = self._around.clock, self._around.processes
        begin_s = clock()
        self._around.listener.epoch_begin(self._epochs)
        tally, sample = self._train()
        losses, samples = tally.mean(processes)
        if losses is None:  # the end came before the first step
            return
        trained_s = clock() - begin_s
        validation = self._validate(sample)
        self._clock.keep_back(clock() - begin_s - trained_s)
        self._epochs += 1
        loss = (validation or losses).total
        self._steering.schedule.end_epoch(loss)
        self._patience.end_epoch(loss)
        report = EpochReport(
            epoch=self._epochs - 1,
            epochs=self._config.optimization.epochs,
            steps=self._steps,
            training=losses,
            validation=validation,
            learning_rate=self._steering.rate,
            samples_per_s=samples / max(trained_s, 1e-9),
            seconds=self._clock.seconds,
            remaining_s=self._steering.remaining_s,
            # Training losses of single epochs are noise; without validation the last counts.
            is_best=validation is None or loss < self._best_loss,
            best_loss=loss if validation is None else min(loss, self._best_loss),
        )
        # Before the checkpoint: a log with an epoch too many can be cut.
        self._around.listener.epoch_end(report)
        self._save(report, loss)

    def _train(self) -> tuple[Tally, TrainingBatch | None]:
        """Makes the steps of an epoch; returns their losses, and one batch to look at."""
        tally = Tally(self._part_names, self._place)
        sample: TrainingBatch | None = None
        untold: _Step | None = None
        accumulated = self._config.optimization.accumulation_steps
        begin_s, seen = self._around.clock(), 0
        with closing(self._splits.training.epoch(self._epochs)) as batches:
            for index in range(self._steps_per_epoch):
                self._steering.before_step(self._steps)
                if self._steering.end is not None:
                    break
                group = list(itertools.islice(batches, accumulated))
                sample = sample or group[0]
                values = self._learner.step(group, self._steering.rate, self._steps)
                for value, batch in zip(values, group, strict=True):
                    tally.add(value, len(batch.images_BCHW))
                    seen += len(batch.images_BCHW) * self._around.processes.count
                self._steps += 1
                # One step late, so that a GPU has work while its loss is fetched.
                self._tell(untold)
                loss = torch.stack([value.total for value in values]).mean()
                taken_s = self._around.clock() - begin_s
                self._clock.expect(taken_s / (index + 1) / accumulated, self._validation_batches)
                speed = seen / max(taken_s, 1e-9)
                untold = _Step(index, self._steps, self._steering.rate, speed, loss)
        self._tell(untold)
        return tally, sample

    def _tell(self, step: "_Step | None") -> None:
        if step is None:
            return
        loss = float(step.loss)
        if not math.isfinite(loss):
            raise self._diverged(loss, step)
        self._around.listener.batch_end(
            BatchReport(
                epoch=self._epochs,
                batch=step.index,
                batches=self._steps_per_epoch,
                epochs=self._config.optimization.epochs,
                step=step.number,
                loss=loss,
                learning_rate=step.learning_rate,
                samples_per_s=step.samples_per_s,
                remaining_s=self._steering.remaining_s,
            )
        )

    def _diverged(self, loss: float, step: "_Step") -> FailedPrecondition:
        kept = "no network was kept, since no epoch has ended"
        if math.isfinite(self._best_loss):
            kept = f"the best network so far is in {self._around.run_folder / BEST}"
        return FailedPrecondition(
            "LOSS_DIVERGED",
            f"The loss became {loss} at step {step.number}, with a learning rate of "
            f"{step.learning_rate:.3g}: begin again with a lower "
            "optimization.optimizer.learning_rate, or with optimization.max_gradient_norm=1; "
            f"{kept}.",
            step=step.number,
            learning_rate=step.learning_rate,
        )

    def _validate(self, sample: TrainingBatch | None) -> MeanLosses | None:
        """Returns the losses on the validation split, and has samples drawn."""
        tally = Tally(self._part_names, self._place)
        self._learner.prepare_evaluation()
        sketched = {"train": sample}
        with closing(self._splits.validation.epoch(0)) as batches:
            for batch in batches:
                tally.add(self._learner.evaluate(batch), len(batch.images_BCHW))
                sketched.setdefault("validation", batch)
                self._around.listener.beat()
        if self._around.sketches is not None:
            for split, shown in sketched.items():
                if shown is not None:
                    self._around.sketches.draw(self._epochs, split, shown, self._learner)
                    self._around.listener.beat()
        return tally.mean(self._around.processes)[0]

    def _save(self, report: EpochReport, loss: float) -> None:
        if report.is_best:
            self._best_loss = loss
            if self._around.processes.is_first:
                weights = self._learner.evaluated.state_dict()
                best = Best(network=weights, epoch=self._epochs, loss=loss)
                save_best(self._around.run_folder, best)
        if self._epochs % self._config.run.checkpoint_every_epochs == 0:
            self._save_last()

    def _save_last(self) -> None:
        self._saved_epochs = self._epochs
        if self._around.processes.is_first:
            last = Last(
                **self._learner.state(),
                schedule=self._steering.state(),
                patience=self._patience.state(),
                random_states=random_states(self._place),
                epochs=self._epochs,
                steps=self._steps,
                seconds=self._clock.seconds,
            )
            save_last(self._around.run_folder, last)
        self._around.processes.meet()


@dataclass(frozen=True)
class _Step:
    """A step of which nothing was told yet."""

    index: int
    number: int
    learning_rate: float
    samples_per_s: float
    loss: torch.Tensor

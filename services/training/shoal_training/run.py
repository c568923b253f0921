"""One run from labels to a model folder."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from shoal_training.commands import Command, CommandSource, stop_on_signals
from shoal_training.config import MonitorConfig, TrainingConfig
from shoal_training.console import Console
from shoal_training.devices import Device, choose_device
from shoal_training.distributed import Processes, joined
from shoal_training.finish import finish
from shoal_training.journal import CsvLog, TensorBoardLog
from shoal_training.loop import RunResult, train
from shoal_training.monitor import Monitor
from shoal_training.pictures import Pictures
from shoal_training.profiler import Profiler
from shoal_training.reports import Listener, Listeners
from shoal_training.run_folder import open_run_folder
from shoal_training.run_plan import describe_plan
from shoal_training.surroundings import Surroundings
from shoal_training.training_data import open_training_data
from shoal_training.workbench import Workbench, open_workbench

LOGGER = logging.getLogger(__name__)
LEAST_EVALUATION_SHARE = 0.1
"""Of the time budget, also where training used it up."""
_REASONS = {
    "epochs": "all epochs are over",
    "early_stopping": "the validation loss no longer falls",
    "time_budget": "the time is over",
    "stopped": "a stop was wanted",
}


def run(config: TrainingConfig, run_folder: Path, *, resume: bool) -> None:
    """Trains, evaluates and exports one network.

    Args:
        config: What to do; paths of labels are absolute, or relative to the working folder.
        run_folder: Where everything goes; see the README.
        resume: Whether a run that the folder holds goes on.

    Raises:
        ShoalError: What is wrong with the labels, the values or the machine.
    """
    with ExitStack() as stack:
        processes = stack.enter_context(joined())
        signals = stack.enter_context(stop_on_signals())
        device = choose_device(
            config.run.device,
            config.optimization.precision,
            processes.local_rank,
            deterministic=config.run.deterministic,
        )
        monitor = Monitor(config.monitor if processes.is_first else MonitorConfig(), config.kind)
        stack.callback(monitor.close)
        data = stack.enter_context(open_training_data(config, Path()))
        if processes.is_first:
            open_run_folder(run_folder, data, resume=resume)
        processes.meet()
        bench = stack.enter_context(open_workbench(data, run_folder, processes, monitor.beat))
        around = _Around(data.config, bench, run_folder, device, processes, signals, monitor)
        if processes.is_first:
            batches = bench.splits.training.batches_per_epoch
            network = bench.task.network
            sys.stdout.write(describe_plan(data, network, bench.size_hw, batches, device))
            sys.stdout.flush()
        monitor.greet()
        result = train(data.config, bench.task, bench.splits, around.surroundings())
        if processes.is_first:
            LOGGER.info("%s", _ending(result))
            limit_s = _evaluation_limit_s(config.optimization.time_budget_s, result)
            finish(data, bench.task.network, run_folder, device, limit_s, monitor.beat)


@dataclass(frozen=True, eq=False)
class _Around:
    """From which the loop's surroundings are made."""

    config: TrainingConfig
    bench: Workbench
    run_folder: Path
    device: Device
    processes: Processes
    signals: CommandSource
    monitor: Monitor

    def surroundings(self) -> Surroundings:
        """Returns where training happens and who watches: of several processes, the first."""
        first, run = self.processes.is_first, self.config.run
        task = self.bench.task
        pictures = Pictures(self.run_folder, run.image_count, task.losses.heads, task.targets)
        return Surroundings(
            run_folder=self.run_folder,
            device=self.device,
            listener=Listeners(self._listeners() if first else []),
            commands=self._commands,
            sketches=pictures if first and run.image_count > 0 else None,
            processes=self.processes,
        )

    def _listeners(self) -> list[Listener]:
        run = self.config.run
        wanted: list[tuple[bool, Callable[[Path], Listener]]] = [
            (True, CsvLog),
            (run.tensorboard, TensorBoardLog),
            (run.profile, Profiler),
        ]
        kept = [make(self.run_folder) for is_wanted, make in wanted if is_wanted]
        return [self.monitor, Console(), *kept]

    def _commands(self) -> Sequence[Command]:
        return [*self.signals(), *self.monitor.commands()]


def _evaluation_limit_s(budget_s: float | None, result: RunResult) -> float | None:
    """Returns how long the evaluation may take: what training left, but enough to say something."""
    if budget_s is None:
        return None
    return max(budget_s - result.seconds, LEAST_EVALUATION_SHARE * budget_s)


def _ending(result: RunResult) -> str:
    return (
        f"Training ended after {result.epochs} epochs ({result.steps} steps, "
        f"{result.seconds:.0f} s), because {_REASONS[result.reason]}; the best was epoch "
        f"{result.best_epoch}."
    )

"""A world that a network of some hundred weights learns in seconds: one bright dot per image."""

import json
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shoal_core.skeleton import Skeleton
from shoal_training.commands import CommandSource
from shoal_training.config import (
    ConfmapsHead,
    DataConfig,
    HeadsConfig,
    OptimizationConfig,
    RunConfig,
    TrainingConfig,
)
from shoal_training.devices import choose_device
from shoal_training.distributed import ALONE, Processes
from shoal_training.durable import clear_remains
from shoal_training.heads import HeadSpec, head_specs
from shoal_training.learner import Task
from shoal_training.loop import RunResult, train
from shoal_training.losses import Losses
from shoal_training.reports import BatchReport, EpochReport, Listener
from shoal_training.surroundings import Sketches, Splits, Surroundings, no_commands
from shoal_training.targets import Targets

SKELETON = Skeleton("dots", ("a", "b"), ((0, 1),))
SIZE = 16
HEADS = HeadsConfig(confmaps=ConfmapsHead(sigma_map_px=1.5, output_stride=2))


@dataclass(frozen=True)
class DotBatch:
    images_BCHW: Tensor
    points_BIN2: Tensor
    classes_BI: Tensor


@dataclass(frozen=True)
class DotBatches:
    """As `shoal_training.batches`: everything follows from seed, epoch and position."""

    seed: int
    batches_per_epoch: int
    batch_size: int = 4
    rank: int = 0
    count: int = 1
    augmented: bool = True

    def epoch(self, epoch: int) -> Generator[DotBatch]:
        for position in range(self.batches_per_epoch):
            drawn = epoch if self.augmented else 0
            rng = np.random.default_rng([self.seed, drawn, position * self.count + self.rank])
            points = rng.uniform(2, SIZE - 3, (self.batch_size, 1, 2, 2)).astype(np.float32)
            y, x = np.mgrid[:SIZE, :SIZE]
            away = np.square(x - points[:, 0, :, 0, None, None])
            away = away + np.square(y - points[:, 0, :, 1, None, None])
            heights = np.array([255, 120])[:, None, None]
            images = (np.exp(-away / 4) * heights).max(axis=1, keepdims=True)
            yield DotBatch(
                torch.from_numpy(images.astype(np.uint8)),
                torch.from_numpy(points),
                torch.zeros((self.batch_size, 1), dtype=torch.int64),
            )


class TinyNetwork(nn.Module):
    max_stride = 2

    def __init__(self, heads: Sequence[HeadSpec], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout2d(0.05),  # draws from PyTorch's generator, whose state has to be kept
            nn.Conv2d(6, 8, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ModuleDict({head.name: nn.Conv2d(8, head.channels, 1) for head in heads})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.body(images)
        return {name: head(features) for name, head in self.heads.items()}

    def inference_network(self) -> nn.Module:
        return self


class Recorder:
    """Keeps what it is told; `at_batch` may interfere."""

    def __init__(self, at_batch: Callable[[BatchReport], None] | None = None) -> None:
        self.events: list[str] = []
        self.batches: list[BatchReport] = []
        self.epochs: list[EpochReport] = []
        self._at_batch = at_batch

    def train_begin(self) -> None:
        self.events.append("train_begin")

    def epoch_begin(self, epoch: int) -> None:
        self.events.append(f"epoch_begin {epoch}")

    def batch_end(self, report: BatchReport) -> None:
        self.batches.append(report)
        if self._at_batch is not None:
            self._at_batch(report)

    def epoch_end(self, report: EpochReport) -> None:
        self.events.append(f"epoch_end {report.epoch}")
        self.epochs.append(report)

    def train_end(self) -> None:
        self.events.append("train_end")

    def beat(self) -> None:
        self.events.append("beat")


def tiny_config(**optimization: object) -> TrainingConfig:
    values: dict[str, object] = {"epochs": 3, "min_batches_per_epoch": 5, "ema_decay": 0.9}
    return TrainingConfig(
        kind="single_instance",
        data=DataConfig(labels=()),
        heads=HEADS,
        optimization=OptimizationConfig(**(values | optimization)),  # type: ignore[arg-type]
        run=RunConfig(deterministic=True),
    )


def tiny_task(config: TrainingConfig, network_seed: int = 0) -> Task:
    heads = head_specs(config.kind, config.heads, SKELETON)
    return Task(
        network=TinyNetwork(heads, network_seed),
        targets=Targets(config.kind, config.heads, heads, SKELETON),
        losses=Losses(heads, config.heads, config.optimization.hard_mining),
    )


def train_tiny(
    config: TrainingConfig,
    folder: Path,
    listener: Listener | None = None,
    *,
    sketches: Sketches | None = None,
    commands: CommandSource = no_commands,
    processes: Processes = ALONE,
    clock: Callable[[], float] = lambda: 0.0,
    validation_batches: int = 2,
) -> RunResult:
    """Trains in this process, for the epochs that the folder does not hold yet."""
    share = {"rank": processes.rank, "count": processes.count}
    batches = config.optimization.min_batches_per_epoch
    return train(
        config,
        tiny_task(config),
        Splits(
            training=DotBatches(0, batches, **share),
            validation=DotBatches(1, validation_batches, augmented=False, **share),
        ),
        Surroundings(
            run_folder=folder,
            device=choose_device("cpu", config.optimization.precision),
            listener=listener or Recorder(),
            commands=commands,
            sketches=sketches,
            processes=processes,
            clock=clock,
        ),
    )


def main(folder: Path, epochs: int) -> None:
    """Trains and writes each step's loss at once, also to the standard output, which tells tests
    when to kill this process.
    """
    clear_remains(folder)  # as whoever opens the folder of a run does
    with (folder / "steps.txt").open("a", buffering=1) as steps:

        def write(report: BatchReport) -> None:
            line = f"{report.step} {report.loss.hex()}\n"
            steps.write(line)
            sys.stdout.write(line)
            sys.stdout.flush()

        result = train_tiny(tiny_config(epochs=epochs), folder, Recorder(write))
    (folder / "result.json").write_text(json.dumps({"best_loss": result.best_loss.hex()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

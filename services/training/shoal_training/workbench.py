"""What a run works with, made out of its data and configuration."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from shoal_training.augment import Augmenter
from shoal_training.batches import Batches, BatchPlan
from shoal_training.config import TrainingConfig
from shoal_training.distributed import Processes
from shoal_training.heads import head_specs
from shoal_training.learner import Task
from shoal_training.losses import Losses
from shoal_training.memory import available_memory_bytes
from shoal_training.networks import build_network
from shoal_training.sample_source import SampleSource
from shoal_training.sample_store import CacheRoom
from shoal_training.surroundings import Splits
from shoal_training.targets import Targets
from shoal_training.training_data import TrainingData

_MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class Workbench:
    """Network, losses and batches of a run."""

    task: Task
    splits: Splits
    size_hw: tuple[int, int]
    """Height and width of the network's input."""


@contextmanager
def open_workbench(
    data: TrainingData, run_folder: Path, processes: Processes, heartbeat: Callable[[], None]
) -> Iterator[Workbench]:
    """Yields what the run works with; decoded frames are kept as long as it lasts.

    Args:
        data: With the resolved configuration.
        run_folder: Where frames are kept, if they are kept on disk; it is there.
        processes: Of which this one takes its share of the batches.
        heartbeat: Called after every frame that was decoded.

    Raises:
        ShoalError: as `head_specs`, `build_network` and `SampleSource`.
    """
    config = data.config
    heads = head_specs(
        config.kind, config.heads, data.labelled.skeleton, len(data.labelled.classes)
    )
    torch.manual_seed(config.run.seed)
    network = build_network(config.network, data.labelled.channels, heads)
    with ExitStack() as stack:
        training, validation = (
            stack.enter_context(
                SampleSource(
                    data.labelled,
                    indices,
                    config,
                    stride=network.max_stride,
                    augment=augment,
                    room=CacheRoom(folder=run_folder, memory_bytes=available_memory_bytes()),
                    heartbeat=heartbeat,
                )
            )
            for indices, augment in (
                (data.split.training, config.augment),
                (data.split.validation, None),
            )
        )
        plan = _plan(config, processes)
        yield Workbench(
            task=Task(
                network=network,
                targets=Targets(config.kind, config.heads, heads, data.labelled.skeleton),
                losses=Losses(heads, config.heads, config.optimization.hard_mining),
            ),
            splits=Splits(
                training=stack.enter_context(_training_batches(data, training, plan)),
                validation=Batches(validation, config.kind, plan),
            ),
            size_hw=training.size_hw,
        )


def _plan(config: TrainingConfig, processes: Processes) -> BatchPlan:
    return BatchPlan(
        batch_size=config.optimization.batch_size,
        seed=config.run.seed,
        min_batches=config.optimization.min_batches_per_epoch,
        with_others=config.augment.paste_probability > 0,
        rank=processes.rank,
        process_count=processes.count,
    )


def _training_batches(data: TrainingData, source: SampleSource, plan: BatchPlan) -> Batches:
    config = data.config
    augmenter = Augmenter(
        config.augment,
        data.labelled.skeleton,
        source.size_hw,
        source.anchor_node,
        sees_window=bool(config.data.window_px),
    )
    workers = config.run.loader_processes or _worker_count(plan.process_count)
    return Batches(source, config.kind, plan, augment=augmenter, worker_count=workers)


def _worker_count(process_count: int) -> int:
    """Returns how many processes augment for each that trains: half of its share of the cores."""
    cores = len(os.sched_getaffinity(0)) // process_count
    return max(1, min(_MOST_WORKERS, cores // 2))

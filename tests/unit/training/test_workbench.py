from pathlib import Path
from typing import Literal

import torch

from shoal_training.config import DataConfig, TrainingConfig, UNetConfig
from shoal_training.distributed import ALONE
from shoal_training.surroundings import TrainingBatch
from shoal_training.training_data import open_training_data
from shoal_training.workbench import open_workbench
from tests.fakes.labelled_folder import animal, write_labels


def _first(folder: Path, cache: Literal["memory", "disk", "none"]) -> TrainingBatch:
    config = TrainingConfig(
        kind="centered_instance",
        data=DataConfig(labels=("labels.slp",), cache=cache),
        network=UNetConfig(filters=2, max_stride=4),
    )
    beats: list[int] = []
    run = folder / cache
    run.mkdir()
    with (
        open_training_data(config, folder) as data,
        open_workbench(data, run, ALONE, lambda: beats.append(1)) as bench,
    ):
        batches = bench.splits.training.epoch(0)
        batch = next(batches)
        batches.close()
    assert not list(run.iterdir())
    assert len(beats) == (0 if cache == "none" else 4)
    return batch


def test_a_run_sees_the_same_batches_wherever_samples_are_kept(tmp_path: Path) -> None:
    write_labels(tmp_path, {index: [animal(20 + 3 * index, 30)] for index in range(4)})
    in_memory, *others = (_first(tmp_path, cache) for cache in ("memory", "disk", "none"))
    for other in others:
        assert torch.equal(other.images_BCHW, in_memory.images_BCHW)

"""The folder of a run: who may write into it, its configuration and its split."""

import dataclasses
from pathlib import Path

from shoal_core.errors import AlreadyExists, InvalidArgument
from shoal_training.checkpoint import BEST, LAST
from shoal_training.config import MonitorConfig, RunConfig, TrainingConfig
from shoal_training.config_file import read_config, write_config
from shoal_training.durable import clear_remains
from shoal_training.splits import read_split, write_split
from shoal_training.training_data import TrainingData

CONFIG = "config.json"
SPLIT = "split.json"


def open_run_folder(folder: Path, data: TrainingData, *, resume: bool) -> None:
    """Makes the folder, or checks that the run in it is this one, and says what the run is.

    A run that goes on may be told anew how long to train and how it is carried out (`run`,
    `monitor`, epochs, time budget, early stopping); nothing else.

    Args:
        folder: Of the run; what a kill has left half-written in it is removed.
        data: Split and resolved configuration, which are written.
        resume: Whether a run that the folder holds goes on.

    Raises:
        AlreadyExists: RUN_EXISTS when the folder holds a run and `resume` is not wanted.
        InvalidArgument: RUN_DIFFERS when the run in the folder was begun with other values or
            labels.
        ResourceExhausted: DISK_FULL.
    """
    last, best = folder / LAST, folder / BEST
    if not resume and (last.exists() or best.exists()):
        raise AlreadyExists(
            "RUN_EXISTS",
            f"{folder} holds a run already; give --resume to go on with it, or another folder.",
            folder=folder,
        )
    if last.exists():
        _check_same(folder, data)
    else:
        # Of a run that was killed before there was anything to go on from: all begins anew.
        best.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    clear_remains(folder)
    write_config(data.config, folder / CONFIG)
    write_split(data.split, folder / SPLIT)


def _check_same(folder: Path, data: TrainingData) -> None:
    """Compares with what the folder says; of a copy that was cut short, it may say less."""
    before = read_config(folder / CONFIG) if (folder / CONFIG).exists() else data.config
    if _lasting(before) != _lasting(data.config):
        raise InvalidArgument(
            "RUN_DIFFERS",
            f"The run in {folder} was begun with another {_difference(before, data.config)}; give "
            "another folder, or the values of its config.json.",
            folder=folder,
        )
    if not (folder / SPLIT).exists():
        return
    frame_count = len(data.labelled.frames)
    if read_split(folder / SPLIT, frame_count=frame_count) != data.split:
        raise InvalidArgument(
            "RUN_DIFFERS",
            f"The labels have changed since the run in {folder} began: other frames would be "
            "trained on. Give another folder, or the labels as they were.",
            folder=folder,
        )


def _lasting(config: TrainingConfig) -> TrainingConfig:
    """Returns the configuration without what may change while a run lasts."""
    optimization = dataclasses.replace(
        config.optimization, epochs=1, time_budget_s=None, early_stopping=None
    )
    return dataclasses.replace(
        config, optimization=optimization, run=RunConfig(), monitor=MonitorConfig(), name=""
    )


def _difference(before: TrainingConfig, now: TrainingConfig) -> str:
    """Returns the first key whose values differ, "data.crop_size_px"."""
    sections = (field.name for field in dataclasses.fields(TrainingConfig))
    a, b = _lasting(before), _lasting(now)
    section = next(name for name in sections if getattr(a, name) != getattr(b, name))
    left, right = getattr(a, section), getattr(b, section)
    if type(left) is not type(right) or not dataclasses.is_dataclass(left):
        return section
    keys = (field.name for field in dataclasses.fields(left))
    return f"{section}." + next(key for key in keys if getattr(left, key) != getattr(right, key))

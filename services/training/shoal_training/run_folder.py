"""The folder of a run: who may write into it, and its configuration."""

import dataclasses
from pathlib import Path

from shoal_core.errors import AlreadyExists, InvalidArgument
from shoal_training.checkpoint import LAST
from shoal_training.config import MonitorConfig, RunConfig, TrainingConfig
from shoal_training.config_file import read_config, write_config

CONFIG = "config.json"


def open_run_folder(folder: Path, config: TrainingConfig, *, resume: bool) -> None:
    """Makes the folder, or checks that the run in it is this one, and writes its configuration.

    A run that goes on may be told anew how long to train and how it is carried out (`run`,
    `monitor`, epochs, time budget, early stopping); nothing else.

    Raises:
        AlreadyExists: RUN_EXISTS when the folder holds a run and `resume` is not wanted.
        InvalidArgument: RUN_DIFFERS when the run in the folder was begun with other values.
    """
    path = folder / CONFIG
    if (folder / LAST).exists():
        if not resume:
            raise AlreadyExists(
                "RUN_EXISTS",
                f"{folder} holds a run already; give --resume to go on with it, or another folder.",
                folder=folder,
            )
        before = read_config(path)
        if _lasting(before) != _lasting(config):
            raise InvalidArgument(
                "RUN_DIFFERS",
                f"The run in {folder} was begun with another {_difference(before, config)}; give "
                "another folder, or the values of its config.json.",
                folder=folder,
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_config(config, path)


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

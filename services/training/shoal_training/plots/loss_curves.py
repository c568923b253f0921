"""The course of a run: losses and learning rate from its `log.csv`."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_training.plots.picture import COLOURS, picture

_FEW_EPOCHS = 15
Columns = dict[str, NDArray[np.float64]]


def read_log(path: Path) -> Columns:
    """Returns the columns of a run's log, one value an epoch; NaN where a field is empty.

    Raises:
        InvalidArgument: LOG_UNREADABLE when it is no log, or has no epoch yet.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {
            name: np.array([float(row[name]) if row[name] else np.nan for row in rows])
            for name in (rows[0] if rows else ())
        }
    except (OSError, TypeError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not {"epoch", "seconds", "loss", "val_loss", "learning_rate", "is_best"} <= set(columns):
        raise _unreadable(path, "it has no epoch, or is no log of a run")
    return columns


def draw_loss_curves(path: Path, columns: Columns) -> None:
    """Draws training and validation loss against time, and below the learning rate.

    Args:
        path: of the PNG file.
        columns: of `read_log`.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    minutes = columns["seconds"] / 60
    # A line through few epochs, or one, would hardly be seen.
    marker = "o" if len(minutes) <= _FEW_EPOCHS else None
    with picture(path, 7.0, 5.0) as figure:
        losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        losses.plot(minutes, columns["loss"], color=COLOURS[0], marker=marker, label="training")
        if np.isfinite(columns["val_loss"]).any():
            valid = columns["val_loss"]
            losses.plot(minutes, valid, color=COLOURS[1], marker=marker, label="validation")
        best = np.flatnonzero(columns["is_best"] > 0)[-1:]
        kept = np.where(np.isnan(columns["val_loss"]), columns["loss"], columns["val_loss"])
        losses.plot(minutes[best], kept[best], "*", color="black", markersize=11, label="best")
        losses.set(ylabel="loss (logarithmic)", yscale="log")
        losses.legend(frameon=False)
        rates.plot(minutes, columns["learning_rate"], color=COLOURS[2], marker=marker)
        rates.set(xlabel="time (min)", ylabel="learning rate", ylim=(0, None), xlim=(0, None))
        for axes in (losses, rates):
            axes.grid(color="0.9")
        losses.set_title(f"epochs: {len(minutes)}", fontsize=10)


def _unreadable(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(
        "LOG_UNREADABLE",
        f"{path} cannot be drawn ({why}); give the log.csv of a run that ended an epoch.",
        path=path,
    )

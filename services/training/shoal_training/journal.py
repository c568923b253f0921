"""What remains of a run's course: `log.csv`, one line per epoch, and the same for TensorBoard."""

import csv
import io
from pathlib import Path
from typing import Any

from shoal_training.durable import disk_error, write_durably
from shoal_training.reports import EpochReport, Listener

LOG = "log.csv"
TENSORBOARD = "tensorboard"


class CsvLog(Listener):
    """Appends a line to `log.csv` at the end of each epoch.

    Columns: `epoch` (1 for the first), `steps`, `loss`, `val_loss` (empty without validation),
    `learning_rate`, `samples_per_s`, `seconds` (used by the run so far), `is_best` (0 or 1), then
    each head's share of both losses.
    """

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / LOG
        self._begun = False

    def epoch_begin(self, epoch: int) -> None:
        """Of a run that goes on: takes out the epochs that a kill has undone."""
        if not self._begun and self._path.exists():
            kept = _epochs_before(epoch + 1, self._path.read_text())
            write_durably(self._path, kept.encode())
        self._begun = True

    def epoch_end(self, report: EpochReport) -> None:
        """Appends the epoch's line.

        Raises:
            ResourceExhausted: DISK_FULL.
        """
        row = _row(report)
        text = io.StringIO()
        writer = csv.DictWriter(text, row, lineterminator="\n")
        if not self._path.exists() or self._path.stat().st_size == 0:
            writer.writeheader()
        writer.writerow(row)
        try:
            with self._path.open("a") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise disk_error(error, self._path) from error


class TensorBoardLog(Listener):
    """Writes an epoch's figures for TensorBoard, at the epoch's number (1 for the first)."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder / TENSORBOARD
        self._writer: Any = None

    def epoch_begin(self, epoch: int) -> None:
        """Opens a file from whose first epoch on older files do not count."""
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=epoch + 1)

    def epoch_end(self, report: EpochReport) -> None:
        """Writes the epoch's figures."""
        for name, value in _row(report).items():
            if name not in ("epoch", "is_best") and value != "":
                self._writer.add_scalar(name, float(value), report.epoch + 1)
        self._writer.flush()

    def train_end(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()


def _row(report: EpochReport) -> dict[str, str]:
    validation = report.validation
    row = {
        "epoch": str(report.epoch + 1),
        "steps": str(report.steps),
        "loss": repr(report.training.total),
        "val_loss": "" if validation is None else repr(validation.total),
        "learning_rate": repr(report.learning_rate),
        "samples_per_s": f"{report.samples_per_s:.1f}",
        "seconds": f"{report.seconds:.2f}",
        "is_best": str(int(report.is_best)),
    }
    row |= {f"loss/{name}": repr(loss) for name, loss in report.training.parts.items()}
    for name in report.training.parts:
        row[f"val_loss/{name}"] = "" if validation is None else repr(validation.parts[name])
    return row


def _epochs_before(epoch: int, text: str) -> str:
    """Returns the lines of a log up to an epoch, without one that a kill has cut."""
    header, *lines = text.splitlines(keepends=True) or [""]
    if not header.endswith("\n"):
        return ""
    kept = [
        line
        for line in lines
        if line.endswith("\n") and int(line.split(",", maxsplit=1)[0]) < epoch
    ]
    return "".join([header, *kept])

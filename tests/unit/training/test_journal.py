"""What remains of a run."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from shoal_training.journal import CsvLog, TensorBoardLog
from shoal_training.pictures import Pictures
from shoal_training.profiler import Profiler
from shoal_training.reports import BatchReport, Listeners
from tests.unit.training.tiny import Recorder, tiny_config, tiny_task, train_tiny


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_epoch_is_a_line_with_losses_by_part(tmp_path: Path) -> None:
    recorder = Recorder()
    train_tiny(tiny_config(), tmp_path, Listeners([CsvLog(tmp_path), recorder]))
    rows = _rows(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["steps"] for row in rows] == ["5", "10", "15"]
    for row, report in zip(rows, recorder.epochs, strict=True):
        assert report.validation is not None
        assert float(row["loss"]) == report.training.total
        assert float(row["val_loss"]) == report.validation.total
        assert float(row["loss/SingleInstanceConfmapsHead"]) == pytest.approx(float(row["loss"]))


def test_a_run_that_goes_on_leaves_the_log_of_an_undisturbed_one(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(report: BatchReport) -> None:
        if report.step == 12:
            raise Killed

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    train_tiny(tiny_config(), whole, Listeners([CsvLog(whole)]))
    with pytest.raises(Killed):
        train_tiny(tiny_config(), cut, Listeners([CsvLog(cut), Recorder(kill)]))
    # A kill between a line and its checkpoint, and one within a line.
    with (cut / "log.csv").open("a") as log:
        log.write("3,15,0.1\n4,2")
    train_tiny(tiny_config(), cut, Listeners([CsvLog(cut)]))
    timing = ("samples_per_s", "seconds")
    rows = [
        [{k: v for k, v in row.items() if k not in timing} for row in _rows(folder)]
        for folder in (whole, cut)
    ]
    assert rows[0] == rows[1]


def test_a_log_whose_first_line_a_full_disk_has_cut_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,ste")
    train_tiny(tiny_config(), tmp_path, Listeners([CsvLog(tmp_path)]))
    assert [row["epoch"] for row in _rows(tmp_path)] == ["1", "2", "3"]


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    train_tiny(tiny_config(), tmp_path, Listeners([TensorBoardLog(tmp_path)]))
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"val_loss" in events.read_bytes()


def test_pictures_show_samples_of_both_splits_after_every_epoch(tmp_path: Path) -> None:
    config = tiny_config(epochs=2)
    task = tiny_task(config)
    pictures = Pictures(tmp_path, 2, task.losses.heads, task.targets)
    train_tiny(config, tmp_path, sketches=pictures)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("images/*/*.png"))
    assert names == [
        f"images/000{epoch}/{split}_{number}.png"
        for epoch in (1, 2)
        for split in ("train", "validation")
        for number in (0, 1)
    ]
    picture = cv2.imread(str(tmp_path / names[0]))
    assert picture.shape == (256, 3 * 256, 3)
    # The target's panel is brightest where the image's is.
    image, target = picture[:, :256].sum(axis=2), picture[:, 256:512].sum(axis=2)
    brightest = divmod(int(image.argmax()), 256)
    assert target[brightest] > 0.5 * target.max()


def test_a_profile_of_a_few_steps_can_be_read(tmp_path: Path) -> None:
    train_tiny(tiny_config(min_batches_per_epoch=9, epochs=1), tmp_path, Profiler(tmp_path))
    trace = json.loads((tmp_path / "profile.json").read_text())
    assert any("conv" in event["name"] for event in trace["traceEvents"])

"""Who may write into the folder of a run."""

import shutil
from pathlib import Path

import pytest

from shoal_core.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from shoal_training.checkpoint import BEST, LAST, Best, load_best, save_best
from shoal_training.config import DataConfig, OptimizationConfig, TrainingConfig
from shoal_training.config_file import read_config, write_config
from shoal_training.durable import clear_remains
from shoal_training.run_folder import open_run_folder
from shoal_training.training_data import open_training_data
from tests.fakes.labelled_folder import animal, write_labels
from tests.unit.training.small_disk import full_disk


def _labels(folder: Path, count: int = 6) -> None:
    shutil.rmtree(folder / "video", ignore_errors=True)
    write_labels(folder, {index: [animal(20 + 3 * index, 30)] for index in range(count)})


def _open(folder: Path, *, resume: bool = True, epochs: int = 1, scale: float = 1.0) -> None:
    config = TrainingConfig(
        kind="centroid",
        data=DataConfig(labels=("labels.slp",), input_scale=scale),
        optimization=OptimizationConfig(epochs=epochs),
    )
    with open_training_data(config, folder) as data:
        open_run_folder(folder / "run", data, resume=resume)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of which an epoch is over."""
    _labels(tmp_path)
    _open(tmp_path, resume=False)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir()
    (run / LAST).write_bytes(b"last")
    save_best(run, Best(network={}, epoch=1, loss=0.5))
    return run


@pytest.mark.parametrize("lost", [(), (LAST,), (BEST,)])
def test_no_run_is_begun_over_another(run: Path, lost: tuple[Path, ...]) -> None:
    for name in lost:
        (run / name).unlink()
    with pytest.raises(AlreadyExists, match="--resume"):
        _open(run.parent, resume=False)


def test_a_run_goes_on_for_longer_but_not_with_other_values(run: Path) -> None:
    _open(run.parent, epochs=7)
    assert read_config(run / "config.json").optimization.epochs == 7
    with pytest.raises(InvalidArgument, match=r"another data\.input_scale"):
        _open(run.parent, scale=0.5)


def test_a_run_does_not_go_on_with_labels_that_have_changed(run: Path) -> None:
    _labels(run.parent, count=8)
    with pytest.raises(InvalidArgument, match="labels have changed") as caught:
        _open(run.parent)
    assert caught.value.reason == "RUN_DIFFERS"


def test_a_copy_of_a_run_goes_on_though_only_its_checkpoints_arrived(run: Path) -> None:
    for name in ("config.json", "split.json"):
        (run / name).unlink()
    _open(run.parent)
    assert (run / "split.json").exists()


def test_the_best_network_of_what_begins_anew_does_not_count(run: Path) -> None:
    (run / LAST).unlink()
    _open(run.parent)
    assert not (run / BEST).exists()


def test_what_a_kill_left_half_written_goes(run: Path) -> None:
    remains = [run / ".config.json.4711", run / "checkpoints/.last.pt.12", run / "images/.1.png.3"]
    staged = [run / f".model.{'0a' * 16}", run / f".model.{'0a' * 16}.old"]
    for folder in (*staged, run / "images"):
        folder.mkdir()
    remains += [folder / ".network.onnx.5" for folder in staged]
    kept = [run / ".gitignore", run / "images/.DS_Store", run / "notes.7"]
    for path in (*remains, *kept):
        path.write_text("half")
    clear_remains(run)
    assert not [path for path in (*remains, *staged) if path.exists()]
    assert all(path.exists() for path in kept)
    assert load_best(run).epoch == 1


def test_a_full_disk_leaves_the_configuration_as_it_was(tmp_path: Path) -> None:
    config = TrainingConfig(kind="centroid", data=DataConfig(labels=("labels.slp",)))
    write_config(config, tmp_path / "config.json")
    larger = TrainingConfig(kind="centroid", data=DataConfig(labels=("x" * 3000,)))
    with full_disk(), pytest.raises(ResourceExhausted, match="free some space"):
        write_config(larger, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json") == config

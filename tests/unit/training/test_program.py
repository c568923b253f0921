"""`python -m shoal_training`, from labels to a model folder."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from shoal_training.__main__ import main
from shoal_training.config import ModelKind
from tests.fakes.labelled_folder import animal, write_labels

ROOT = Path(__file__).parents[3]
KINDS: list[ModelKind] = [
    "single_instance",
    "centroid",
    "centered_instance",
    "bottomup",
    "multiclass_bottomup",
    "multiclass_centered_instance",
]
HEADS: dict[ModelKind, object] = {
    "bottomup": {"pafs": {}},
    "multiclass_bottomup": {"class_maps": {}},
    "multiclass_centered_instance": {"class_vectors": {"layers": [8]}},
}
QUICK = "multiclass_centered_instance"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("shoal_training")
    before = logger.level
    yield
    logger.setLevel(before)


def _config(folder: Path, kind: ModelKind, **optimization: object) -> Path:
    """Returns a configuration beside labels of ten frames; few and small of everything."""
    rng = np.random.default_rng(0)
    places = [(20.0, 30.0)] if kind == "single_instance" else [(20.0, 30.0), (56.0, 34.0)]
    frames = {
        index: [animal(x + dx, y + dy) for (x, y), (dx, dy) in zip(places, moves, strict=True)]
        for index, moves in enumerate(rng.uniform(-5, 5, (10, len(places), 2)))
    }
    write_labels(folder, frames, tracks=("female", "male"))
    document = {
        "kind": kind,
        "data": {"labels": ["labels.slp"], "anchor_part": "thorax"},
        "network": {"type": "unet", "filters": 4, "max_stride": 8, "output_stride": 2},
        "heads": HEADS.get(kind, {}),
        "optimization": {"epochs": 1, "min_batches_per_epoch": 2, "batch_size": 2} | optimization,
        "run": {"image_count": 1, "tensorboard": False},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k == QUICK else pytest.mark.slow) for k in KINDS]
)
def test_a_run_leaves_a_model_folder_and_what_it_was_made_of(
    tmp_path: Path, kind: ModelKind, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([str(_config(tmp_path, kind)), "-o", str(run)]) == 0
    assert "million parameters" in capsys.readouterr().out
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert names >= {
        "config.json",
        "split.json",
        "log.csv",
        "metrics.json",
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "images/0001/train_0.png",
        "images/0001/validation_0.png",
        "plots/loss.png",
        "model/network.onnx",
        "model/shoal_model.json",
        "model/parity.npz",
    }
    description = json.loads((run / "model/shoal_model.json").read_text())
    assert description["kind"] == kind
    session = onnxruntime.InferenceSession(run / "model/network.onnx")
    assert [output.name for output in session.get_outputs()] == [
        head["name"] for head in description["heads"]
    ]
    # The run's own configuration says everything: it goes on (and is over) with it.
    assert main([str(run / "config.json"), "-o", str(run), "--resume"]) == 0


def test_a_model_that_finds_nothing_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blind = ("heads.confmaps.loss=sigmoid", "optimization.optimizer.learning_rate=1e-9")
    settings = [word for setting in blind for word in ("--set", setting)]
    config = str(_config(tmp_path, "centroid"))
    assert main([config, "-o", str(tmp_path / "run"), *settings]) == 0
    assert "finds nothing" in caplog.text


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the one line that a run ends with."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("shoal_training: ")
    return lines[-1]


def test_what_is_wrong_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = str(_config(tmp_path, "centroid")), str(tmp_path / "run")
    assert "no.json" in _fails(capsys, "no.json", "-o", run)
    wrong = _fails(capsys, config, "-o", run, "--set", "optimization.epoch=3")
    assert "optimization.epoch" in wrong
    missing = _fails(capsys, config, "-o", run, "--set", 'data.labels=["none.slp"]')
    assert "none.slp" in missing
    half = _fails(capsys, config, "-o", run, "--set", "optimization.precision=fp16")
    assert "fp16" in half


@pytest.mark.slow
def test_a_folder_with_a_run_is_only_gone_on_with_where_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = str(_config(tmp_path, "centroid")), str(tmp_path / "run")
    assert main([config, "-o", run]) == 0
    assert "--resume" in _fails(capsys, config, "-o", run)
    other = _fails(capsys, config, "-o", run, "--resume", "--set", "network.filters=8")
    assert "network.filters" in other
    assert main([config, "-o", run, "--resume", "--set", "optimization.epochs=2"]) == 0
    lines = (tmp_path / "run/log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2"]


@pytest.mark.slow
def test_a_termination_ends_training_and_exports_the_best(tmp_path: Path) -> None:
    config, run = _config(tmp_path, "centroid", epochs=100_000), tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal_training", str(config), "-o", str(run)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2"):
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait() == 0, rest
    assert "a stop was wanted" in rest
    assert (run / "model/shoal_model.json").exists()

"""`python -m shoal_training.evaluate` on the folder of a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoal_training.checkpoint import Best, save_best
from shoal_training.config import ConfmapsHead, DataConfig, HeadsConfig, TrainingConfig, UNetConfig
from shoal_training.config_file import read_config, write_config
from shoal_training.evaluate import evaluate_split, main
from shoal_training.heads import head_specs
from shoal_training.labelled_set import read_labelled_set
from shoal_training.networks import build_network
from shoal_training.trained_run import open_trained_run


@pytest.fixture
def labels(shared_data: Path) -> Path:
    return shared_data / "pair" / "minimal_instance.pkg.slp"


@pytest.fixture
def run(labels: Path, tmp_path: Path) -> Path:
    """A run whose network has random weights."""
    heads = HeadsConfig(confmaps=ConfmapsHead(output_stride=4))
    config = TrainingConfig(
        kind="centered_instance",
        data=DataConfig(labels=(str(labels),), channels=1, crop_size_px=96, px_per_mm=10.0),
        network=UNetConfig(filters=4, max_stride=8, output_stride=4),
        heads=heads,
    )
    with read_labelled_set([labels]) as labelled:
        specs = head_specs(config.kind, heads, labelled.skeleton)
    torch.manual_seed(0)
    network = build_network(config.network, 1, specs)
    # All maps lie above the threshold, so that every node is somewhere.
    for layer in network.head_layers.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.bias is not None:
            torch.nn.init.constant_(layer.bias, 1.0)
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    write_config(config, folder / "config.json")
    save_best(folder, Best(network=network.state_dict(), epoch=1, loss=1.0))
    return folder


def test_the_figures_are_those_of_the_runs_network(run: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    # The model folder in the run stands for the run.
    assert main([str(run / "model"), str(labels), "--json", str(out)]) == 0
    with read_labelled_set([labels]) as labelled:
        predictor = open_trained_run(run).predictor()
        expected = evaluate_split(predictor, labelled, [0], px_per_mm=10.0)
    assert json.loads(out.read_text()) == expected.figures()
    assert expected.poses is not None
    assert expected.poses.visibility_recall == 1
    assert expected.figures()["px_per_mm"] == 10


def test_the_main_figures_are_printed(
    run: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), str(labels), "--frames", "0:", "--every", "3"]) == 0
    printed = capsys.readouterr().out
    assert "2 animals in 1 frames" in printed
    assert "mAP" in printed
    assert "  B  median" in printed


def test_pictures_are_drawn_where_they_are_wanted(run: Path, labels: Path, tmp_path: Path) -> None:
    assert main([str(run), str(labels), "--plots", str(tmp_path / "plots")]) == 0
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    pictures = ["confidence_0.png", "error_circles.png", "node_errors.png", "precision_recall.png"]
    assert names == pictures


def test_what_cannot_be_scored_is_one_line_with_the_cure(
    run: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        ([tmp_path / "nothing", labels], "no folder of a training run"),
        ([run, tmp_path / "no.slp"], "no file of labels"),
        ([run, labels, "--frames", "5:9"], "No labelled frame lies in --frames 5:9"),
    ):
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert said in error


def test_weights_of_another_network_are_refused(
    run: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read_config(run / "config.json")
    write_config(replace(config, network=UNetConfig(filters=6)), run / "config.json")
    assert main([str(run), str(labels)]) == 2
    assert "another network than its config.json describes" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--frames", "7"), ("--every", "0"), ("--class", "a")])
def test_options_that_say_nothing_are_refused(
    run: Path, labels: Path, option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(run), str(labels), *option])
    assert ended.value.code == 2

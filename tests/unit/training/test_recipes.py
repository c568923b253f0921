import json
import logging
from pathlib import Path
from typing import get_args

import pytest

from shoal_core.errors import InvalidArgument, NotFound
from shoal_training.config import HourglassConfig, ModelKind, ResNetConfig, UNetConfig
from shoal_training.config_file import from_values, to_values, write_config
from shoal_training.profiles import read_profile
from shoal_training.recipes import RECIPES, recipe


def profile(**changes: object) -> dict[str, object]:
    return {
        "data": {
            "preprocessing": {"input_scaling": 0.5, "ensure_grayscale": True},
            "instance_cropping": {"center_on_part": "thorax", "crop_size": 81},
        },
        "model": {
            "backbone": {"unet": {"filters": 24, "max_stride": 16, "output_stride": 4}},
            "heads": {
                "centroid": None,
                "centered_instance": {"sigma": 1.5, "output_stride": 4, "part_names": None},
            },
        },
        "optimization": {
            "batch_size": 3,
            "augmentation_config": {
                "rotate": True,
                "rotation_min_angle": -15,
                "rotation_max_angle": 15,
                "brightness": True,
                "brightness_max_val": 51.0,
            },
            "learning_rate_schedule": {"plateau_patience": 8},
            "early_stopping": {"stop_training_on_plateau": False},
        },
    } | changes


def written(tmp_path: Path, values: object) -> Path:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("kind", get_args(ModelKind))
def test_every_recipe_is_a_valid_configuration_of_every_kind(name: str, kind: ModelKind) -> None:
    config = recipe(name, kind, ["a.slp"])
    assert config.kind == kind
    assert from_values(to_values(config)) == config


def test_the_recipe_of_sleap_has_the_settings_of_the_paper() -> None:
    config = recipe("sleap", "bottomup", ["a.slp"])
    optimization = config.optimization
    assert (optimization.optimizer.type, optimization.optimizer.amsgrad) == ("adam", True)
    assert optimization.optimizer.learning_rate == 1e-4
    assert (optimization.batch_size, optimization.min_batches_per_epoch) == (4, 200)
    assert optimization.epochs == 200
    assert optimization.early_stopping is not None


def test_a_configuration_is_a_recipe_for_other_labels(tmp_path: Path) -> None:
    config = recipe("sleap", "centroid", ["a.slp"])
    write_config(config, tmp_path / "config.json")
    again = recipe(str(tmp_path / "config.json"), "centroid", ["b.slp"])
    assert again.data.labels == ("b.slp",)
    assert again.network == config.network


def test_a_recipe_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        recipe(str(written(tmp_path, profile())), "centroid", ["a.slp"])
    assert caught.value.reason == "RECIPE_KIND_DIFFERS"


def test_an_unknown_recipe_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(NotFound, match="fast, sleap"):
        recipe("quick", "centroid", ["a.slp"])


def test_a_profile_of_sleap_says_what_is_trained(tmp_path: Path) -> None:
    config = read_profile(written(tmp_path, profile()), ["a.slp"])
    assert config.kind == "centered_instance"
    assert config.data.anchor_part == "thorax"
    assert config.data.crop_size_px == 162  # 81 px of the frame scaled by 0.5
    assert config.data.channels == 1
    assert config.augment.rotation_deg == (-15.0, 15.0)
    assert config.augment.scale == (1.0, 1.0)
    assert config.augment.brightness == (0.0, 0.2)
    assert config.network == UNetConfig(
        filters=24, max_stride=16, output_stride=4, upsampling="transposed"
    )
    assert (config.heads.confmaps.sigma_map_px, config.heads.confmaps.output_stride) == (1.5, 4)
    assert config.optimization.batch_size == 3
    assert config.optimization.early_stopping is None


@pytest.mark.parametrize(
    ("backbone", "network"),
    [
        ({"hourglass": {"stacks": 2}}, HourglassConfig(filters=256, filter_increase=128, stacks=2)),
        (
            {"resnet": {"version": "ResNet101", "upsampling": {"skip_connections": "add"}}},
            ResNetConfig(version="resnet101", max_stride=32, decoder_filters=64, skip="add"),
        ),
    ],
)
def test_other_networks_of_sleap_import(
    tmp_path: Path, backbone: dict[str, object], network: object
) -> None:
    model = {"backbone": backbone, "heads": {"centroid": {"output_stride": 4}}}
    assert read_profile(written(tmp_path, profile(model=model)), ["a.slp"]).network == network


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ({"backbone": {"unet": {}}, "heads": {}}, "model.heads"),
        ({"backbone": {"unet": {}}, "heads": {"poses": {}}}, "model.heads"),
        ({"backbone": {"vgg": {}}, "heads": {"centroid": {}}}, "model.backbone"),
        (
            {"backbone": {"unet": {"filters": "many"}}, "heads": {"centroid": {}}},
            "model.backbone.unet.filters",
        ),
        (
            {"backbone": {"unet": {"block_contraction": True}}, "heads": {"centroid": {}}},
            "model.backbone.unet.block_contraction",
        ),
    ],
)
def test_a_profile_of_another_network_is_refused_by_its_key(
    tmp_path: Path, model: dict[str, object], key: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_profile(written(tmp_path, profile(model=model)), ["a.slp"])
    assert caught.value.reason == "PROFILE_INVALID"
    assert caught.value.metadata["key"] == key


def test_what_a_profile_says_in_vain_is_warned_of_by_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = profile(telepathy={"strength": 3})
    values["optimization"] = {"augmentation_config": {"uniform_noise": True}, "optimizer": "sgd"}
    with caplog.at_level(logging.WARNING):
        read_profile(written(tmp_path, values), ["a.slp"])
    for key in (
        "telepathy.strength",
        "optimization.augmentation_config.uniform_noise",
        "optimization.optimizer",
    ):
        assert key in caplog.text


def test_a_profile_of_which_all_is_honoured_brings_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_profile(written(tmp_path, profile()), ["a.slp"])
    assert not caplog.records


@pytest.mark.parametrize("text", ["{", "just words", "[1, 2]"])
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile.yaml").write_text(text)
    with pytest.raises(InvalidArgument) as caught:
        read_profile(tmp_path / "profile.yaml", ["a.slp"])
    assert caught.value.reason == "PROFILE_INVALID"


def test_configurations_of_real_models_import(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("models*/*/training_config.*"))
    kinds = set()
    for path in paths:
        config = read_profile(path, ["a.slp"])
        assert from_values(to_values(config)) == config
        kinds.add(config.kind)
    assert kinds == set(get_args(ModelKind))

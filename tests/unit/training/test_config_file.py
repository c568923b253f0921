from dataclasses import replace
from pathlib import Path

import pytest

from shoal_core.errors import InvalidArgument, NotFound
from shoal_training.config import (
    CompactConfig,
    CosineSchedule,
    DataConfig,
    HeadsConfig,
    PafsHead,
    TrainingConfig,
)
from shoal_training.config_file import (
    apply_settings,
    from_values,
    read_config,
    to_values,
    write_config,
)

DATA = DataConfig(labels=("a.slp",), frames=(3, 1), channels=3)
PLAIN = TrainingConfig(kind="centroid", data=DATA)


def test_a_written_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = replace(PLAIN, kind="bottomup", heads=HeadsConfig(pafs=PafsHead()))
    config = replace(config, network=CompactConfig(filters=(8, 16), blocks=(1, 1)))
    config = replace(
        config,
        optimization=replace(
            config.optimization, schedule=CosineSchedule(), early_stopping=None, ema_decay=0.9
        ),
    )
    path = tmp_path / "config.json"
    write_config(config, path)
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"optimisation": {}}, "optimisation"),
        ({"optimization": {"batchsize": 3}}, "optimization.batchsize"),
        ({"optimization": {"batch_size": "many"}}, "optimization.batch_size"),
        ({"optimization": {"batch_size": 2.5}}, "optimization.batch_size"),
        ({"optimization": {"batch_size": True}}, "optimization.batch_size"),
        ({"network": {"type": "vnet"}}, "network.type"),
        ({"network": {"type": "leap", "stem_stride": 2}}, "network.stem_stride"),
        ({"augment": {"scale": [1.0]}}, "augment.scale"),
        ({"augment": {"scale": [1.0, None]}}, "augment.scale[1]"),
        ({"data": {"labels": "a.slp"}}, "data.labels"),
        ({"data": {}}, "data.labels"),
        ({"data": {"labels": ["a.slp"], "channels": 2}}, "data.channels"),
        ({"heads": None}, "heads"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(settings: dict[str, object], key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_values(to_values(PLAIN) | settings)
    assert caught.value.reason == "CONFIG_INVALID"
    assert caught.value.metadata["key"] == key
    assert key in caught.value.message


def test_an_unknown_key_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidArgument, match="validation_fraction, test_fraction, by, seed"):
        apply_settings(PLAIN, ["data.split.fraction=0.2"])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_are_finite(number: str) -> None:
    with pytest.raises(InvalidArgument, match="learning_rate"):
        apply_settings(PLAIN, [f"optimization.optimizer.learning_rate={number}"])


def test_settings_lie_over_the_configuration() -> None:
    config = apply_settings(
        PLAIN,
        [
            "optimization.batch_size=8",
            "optimization.optimizer.learning_rate=1e-3",
            "optimization.early_stopping=null",
            "data.labels=[b.slp, c.slp]",
            "data.anchor_part=thorax",
            "run.deterministic=true",
        ],
    )
    assert config.optimization.batch_size == 8
    assert config.optimization.optimizer.learning_rate == 1e-3
    assert config.optimization.early_stopping is None
    assert config.data.labels == ("b.slp", "c.slp")
    assert config.data.anchor_part == "thorax"
    assert config.run.deterministic


def test_setting_the_type_of_a_variant_starts_from_its_defaults() -> None:
    unet = apply_settings(PLAIN, ["network.filters=7"])
    config = apply_settings(
        unet, ["network.type=compact", "network.patch=2", "optimization.schedule.type=cosine"]
    )
    assert config.network == CompactConfig(patch=2)
    assert config.optimization.schedule == CosineSchedule()


def test_setting_the_type_of_an_optimizer_keeps_its_other_values() -> None:
    config = apply_settings(
        PLAIN, ["optimization.optimizer.learning_rate=0.5", "optimization.optimizer.type=adamw"]
    )
    assert config.optimization.optimizer.type == "adamw"
    assert config.optimization.optimizer.learning_rate == 0.5


def test_a_part_that_was_absent_is_made_by_a_setting() -> None:
    bottomup = replace(PLAIN, kind="bottomup")
    assert apply_settings(bottomup, ["heads.pafs.sigma_px=9"]).heads.pafs == PafsHead(sigma_px=9.0)


@pytest.mark.parametrize("setting", ["optimization.batch_size", "data.labels=[a", "x.y=1"])
def test_a_setting_that_says_nothing_is_refused(setting: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        apply_settings(PLAIN, [setting])
    assert caught.value.reason == "CONFIG_INVALID"


def test_what_is_no_configuration_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidArgument, match="no JSON"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("data.input_scale=0", "data.input_scale"),
        ("data.labels=[]", "data.labels"),
        ("data.split.validation_fraction=0.7", "data.split.validation_fraction"),
        ("data.frames=[1, 1]", "data.frames"),
        ("data.limit=0", "data.limit"),
        ("augment.scale=[1.1, 0.9]", "augment.scale"),
        ("augment.scale=[0, 1]", "augment.scale"),
        ("augment.flip_probability=2", "augment.flip_probability"),
        ("augment.paste_probability=0.5", "augment.paste_probability"),
        ("network.max_stride=12", "network.max_stride"),
        ("network.output_stride=32", "network.output_stride"),
        ("heads.confmaps.output_stride=1", "heads.confmaps.output_stride"),
        ("heads.confmaps.output_stride=32", "heads.confmaps.output_stride"),
        ("heads.confmaps.loss=softmax", "heads.confmaps.loss"),
        ("heads.pafs={}", "heads.pafs"),
        ("heads.classes=[male]", "heads.classes"),
        ("optimization.batch_size=0", "optimization.batch_size"),
        ("optimization.ema_decay=1", "optimization.ema_decay"),
        ("optimization.time_budget_s=0", "optimization.time_budget_s"),
        ("run.loader_processes=0", "run.loader_processes"),
    ],
)
def test_values_that_do_not_go_together_are_refused_by_the_key(setting: str, key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        apply_settings(PLAIN, [setting])
    assert caught.value.metadata["key"] == key

import logging
from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_training.config import DataConfig, ModelKind, SplitConfig, TrainingConfig
from shoal_training.training_data import TrainingData, open_training_data
from tests.fakes.labelled_folder import animal, write_labels


def opened(folder: Path, kind: ModelKind = "centered_instance", **data: object) -> TrainingData:
    config = TrainingConfig(
        kind=kind,
        data=DataConfig(**{"labels": ("labels.slp",)} | data),  # type: ignore[arg-type]
    )
    return open_training_data(config, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = {index: [animal(20 + 3 * index, 30)] for index in range(10)}
    write_labels(tmp_path, frames, tracks=("a",))
    return tmp_path


def test_what_the_configuration_leaves_open_comes_from_the_labels(folder: Path) -> None:
    with opened(folder, "multiclass_centered_instance") as data:
        assert data.config.data.channels == 1
        assert data.config.heads.classes == ("a",)
        assert data.config.data.crop_size_px is not None
        assert data.config.data.crop_size_px % 16 == 0


def test_what_the_configuration_says_stays(folder: Path) -> None:
    with opened(folder, crop_size_px=48, channels=3) as data:
        assert (data.config.data.crop_size_px, data.config.data.channels) == (48, 3)
        assert data.config.heads.classes == ()


@pytest.mark.parametrize(
    ("lengths_px", "scale"),
    [((10, 10), 1.0), ((48, 48, 20), 0.5), ((95,), 0.25), ((2000,), 1 / 32)],
)
def test_a_scale_that_is_left_open_makes_animals_just_large_enough(
    tmp_path: Path, lengths_px: tuple[int, ...], scale: float
) -> None:
    frames = {
        index: [np.array([(5.0, 5.0), (6.0, 5.0), (5.0 + px, 5.0)])]
        for index, px in enumerate(lengths_px)
    }
    write_labels(tmp_path, frames, size_hw=(16, 2100))
    with opened(tmp_path, "centroid", input_scale=None) as data:
        assert data.config.data.input_scale == scale


def test_a_window_that_is_left_open_is_half_as_large_again_as_a_crop(folder: Path) -> None:
    with opened(folder) as data:
        side = data.config.data.crop_size_px
    assert side is not None
    with opened(folder, "bottomup", window_px=None, input_scale=0.5) as data:
        assert abs(data.config.data.window_px - 1.5 * 0.5 * side) <= 16
    with pytest.raises(InvalidArgument, match=r"data\.window_px is of bottom-up models"):
        opened(folder, window_px=32)


def test_only_the_frames_that_are_named_are_used(folder: Path) -> None:
    with opened(folder, frames=(9, 0, 4)) as data:
        assert [frame.frame_index for frame in data.labelled.frames] == [0, 4, 9]
    with pytest.raises(InvalidArgument, match=r"labelled frame 10; data\.labels have 10"):
        opened(folder, frames=(10,))


def test_files_for_validation_and_test_are_not_trained_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_labels(folder, {0: [animal(40, 40)]}, name="test.slp", video="other")
    with caplog.at_level(logging.WARNING):
        again = {"validation_labels": ("labels.slp",), "labels": ("labels.slp", "test.slp")}
        with opened(folder, **again) as data:
            assert [data.labelled.frames[each].file_index for each in data.split.training] == [1]
            assert len(data.split.validation) == 10
    assert "10 labelled frames are in files of labels with another purpose" in caplog.text
    with opened(folder, test_labels=("test.slp",)) as data:
        assert (len(data.split.training), len(data.split.validation)) == (9, 1)
        assert [data.labelled.frames[each].file_index for each in data.split.test] == [1]


def test_nothing_left_to_train_on_is_told(folder: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(folder, validation_labels=("labels.slp",))
    assert caught.value.reason == "SPLIT_INVALID"


def test_crops_larger_than_a_frame_are_warned_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), opened(folder, crop_size_px=100):
        pass
    assert "Crops of 100 px are larger than the smallest frame (80 x 64)" in caplog.text


def test_one_labelled_frame_is_trained_on_without_validation(tmp_path: Path) -> None:
    write_labels(tmp_path, {0: [animal(40, 30)]})
    with opened(tmp_path, split=SplitConfig(test_fraction=0.1)) as data:
        assert (len(data.split.training), data.split.validation, data.split.test) == (1, (), ())

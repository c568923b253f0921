import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shoal_core.coordinates import crop_origins
from shoal_core.errors import InvalidArgument, ResourceExhausted
from shoal_training.config import AugmentConfig, DataConfig, ModelKind, TrainingConfig
from shoal_training.cutting import cut_crop, side_with_margin
from shoal_training.labelled_set import LabelledSet, read_labelled_set
from shoal_training.sample_source import CROP_PADDING_PX, SampleSource, crop_size_px
from shoal_training.sample_store import CacheRoom
from tests.fakes.labelled_folder import DOT_LEVEL, animal, write_labels
from tests.unit.training.small_disk import full_disk

STILL = AugmentConfig(rotation_deg=(0, 0), scale=(1, 1))


@pytest.fixture
def labelled(tmp_path: Path) -> Iterator[LabelledSet]:
    path = write_labels(
        tmp_path, {0: [animal(40, 30)], 1: [animal(30, 20), animal(55, 50)]}, tracks=("a", "b")
    )
    with read_labelled_set([path]) as labels:
        yield labels


def source(
    labelled: LabelledSet,
    folder: Path,
    kind: ModelKind = "centered_instance",
    augment: AugmentConfig | None = None,
    memory_bytes: int | None = None,
    **data: object,
) -> SampleSource:
    config = TrainingConfig(
        kind=kind,
        data=DataConfig(labels=("a.slp",), **data),  # type: ignore[arg-type]
    )
    return SampleSource(
        labelled,
        range(len(labelled.frames)),
        config,
        stride=8,
        augment=augment,
        room=CacheRoom(folder=folder, memory_bytes=memory_bytes),
    )


@pytest.mark.parametrize("augment", [STILL, AugmentConfig()])
def test_crops_for_training_are_the_pixels_of_the_frame(
    labelled: LabelledSet, tmp_path: Path, augment: AugmentConfig
) -> None:
    with source(labelled, tmp_path, augment=augment) as samples:
        assert len(samples) == 3
        for index in range(3):
            sample = samples.sample(index)
            for x, y in sample.points_px_IN2[0].astype(int):
                assert sample.image_HWC[y, x, 0] == DOT_LEVEL


def test_the_animal_that_is_cut_out_comes_first(labelled: LabelledSet, tmp_path: Path) -> None:
    with source(labelled, tmp_path, anchor_part="thorax", augment=STILL) as samples:
        for index, identity in enumerate((0, 0, 1)):
            sample = samples.sample(index)
            middle = (np.array(sample.image_HWC.shape[1::-1]) - 1) / 2
            assert np.abs(sample.points_px_IN2[0, 1] - middle).max() <= 0.5
            assert sample.class_indices_I[0] == identity


def test_crops_for_validation_lie_where_serving_cuts_them(
    labelled: LabelledSet, tmp_path: Path
) -> None:
    with source(labelled, tmp_path, anchor_part="thorax", crop_size_px=32) as samples:
        assert samples.size_hw == (32, 32)
        sample = samples.sample(0)
        origin = crop_origins(np.array([[40.0, 30.0]], np.float32), 32)[0]
        assert np.allclose(sample.points_px_IN2[0, 1], (40, 30) - origin)
        # Half a pixel off in x and y: each pixel is the mean of four.
        frame = labelled.image(labelled.frames[0])[..., 0].astype(float)
        x, y = 24, 14  # floor of the origin
        four = [frame[y + a : y + a + 32, x + b : x + b + 32] for a in (0, 1) for b in (0, 1)]
        assert np.abs(sample.image_HWC[..., 0] - np.mean(four, axis=0)).max() <= 0.5


def test_crops_are_black_outside_of_the_frame_only() -> None:
    image = np.full((20, 30, 1), 9, np.uint8)
    crop = cut_crop(image, np.array([-4.0, 15.0], np.float32), 10)
    assert (crop[:5, 4:] == 9).all()
    assert not crop[5:].any()
    assert not crop[:, :4].any()
    assert not cut_crop(image, np.array([-50.0, -50.0], np.float32), 10).any()


@pytest.mark.parametrize("augment", [AugmentConfig(), AugmentConfig(scale=(0.5, 2.0)), STILL])
def test_the_margin_holds_every_rotation_and_scale(augment: AugmentConfig) -> None:
    side = 32
    margin = side_with_margin(side, augment)
    corners = np.array([(a, b) for a in (0, side - 1) for b in (0, side - 1)]) - (side - 1) / 2
    for angle in np.deg2rad(np.linspace(*augment.rotation_deg, 25)):
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        reach = np.abs(corners @ turn.T / augment.scale[0]).max()
        assert reach + 1 <= (margin - 1) / 2


def test_crops_hold_every_animal_and_fit_the_stride(labelled: LabelledSet) -> None:
    side = crop_size_px(labelled, "thorax", input_scale=1.0, stride=8)
    assert side % 8 == 0
    assert 8 * 2 + CROP_PADDING_PX < side < 8 * 2 + CROP_PADDING_PX + 8 + 2
    half = crop_size_px(labelled, "thorax", input_scale=0.5, stride=8)
    assert half * 0.5 % 8 == 0


def test_whole_frames_are_scaled_and_padded_as_in_serving(
    labelled: LabelledSet, tmp_path: Path
) -> None:
    with source(labelled, tmp_path, "bottomup", input_scale=0.75) as samples:
        assert samples.size_hw == (48, 64)  # 64 x 80 scaled to 48 x 60
        sample = samples.sample(0)
        assert sample.image_HWC.shape == (48, 64, 1)
        assert not sample.image_HWC[:, 60:].any()
        assert sample.image_HWC[:, :60].any(axis=0).all()
        assert np.allclose(sample.points_px_IN2[0, 1], (30, 22.5))


def test_a_window_is_what_training_sees_and_nobody_else(
    labelled: LabelledSet, tmp_path: Path
) -> None:
    with source(labelled, tmp_path, "bottomup", window_px=30, augment=STILL) as samples:
        assert samples.size_hw == (32, 32)
        assert samples.sample(0).image_HWC.shape == (64, 80, 1)
    with source(labelled, tmp_path, "bottomup", window_px=70, augment=STILL) as samples:
        assert samples.size_hw == (64, 72)  # no larger than the frames
    with source(labelled, tmp_path, "bottomup", window_px=30) as samples:
        assert samples.size_hw == (64, 80)


@pytest.mark.parametrize("kind", ["centered_instance", "bottomup"])
def test_samples_are_the_same_wherever_they_are_kept(
    labelled: LabelledSet, tmp_path: Path, kind: ModelKind
) -> None:
    kept = []
    for cache in ("memory", "disk", "none"):
        with source(labelled, tmp_path, kind, cache=cache) as samples:
            kept.append([samples.sample(index) for index in range(len(samples))])
    for in_memory, on_disk, again in zip(*kept, strict=True):
        assert np.array_equal(in_memory.image_HWC, on_disk.image_HWC)
        assert np.array_equal(in_memory.image_HWC, again.image_HWC)


def test_a_cache_on_disk_leaves_no_file(labelled: LabelledSet, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    with source(labelled, tmp_path, cache="disk"):
        assert set(tmp_path.iterdir()) == before


def test_samples_that_would_fill_the_memory_are_kept_on_disk(
    labelled: LabelledSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame_bytes = 64 * 80
    for memory_bytes, expected in ((4 * frame_bytes, ""), (4 * frame_bytes - 1, "kept on disk")):
        caplog.clear()
        with source(labelled, tmp_path, "bottomup", memory_bytes=memory_bytes) as samples:
            assert expected in caplog.text
            assert bool(caplog.text) == bool(expected)
            assert isinstance(samples.sample(0).image_HWC, np.memmap) == bool(expected)


def test_a_full_disk_is_told_with_the_cure(labelled: LabelledSet, tmp_path: Path) -> None:
    cure = r"make room, or set data\.cache to none"
    with full_disk(), pytest.raises(ResourceExhausted, match=cure):
        source(labelled, tmp_path, "bottomup", cache="disk")


def test_a_damaged_frame_is_left_out_with_a_warning(
    labelled: LabelledSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "video" / "img0001.png").write_bytes(b"\x89PNG and no more")
    with caplog.at_level(logging.WARNING), source(labelled, tmp_path) as samples:
        assert len(samples) == 1
        assert samples.frame(0) is labelled.frames[0]
    assert "img0001.png" in caplog.text


def test_training_goes_on_without_validation_frames_that_can_be_read(
    labelled: LabelledSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "video" / "img0001.png").write_bytes(b"\x89PNG and no more")
    with source(labelled.with_frames(labelled.frames[1:]), tmp_path) as samples:
        assert len(samples) == 0
    assert "left out" in caplog.text


def test_labels_of_which_no_frame_can_be_read_are_refused(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [], 1: [animal(40, 30)], 4: []})
    (tmp_path / "video" / "img0001.png").write_bytes(b"\x89PNG and no more")
    with read_labelled_set([path]) as labelled, pytest.raises(InvalidArgument) as caught:
        source(labelled, tmp_path, augment=STILL)
    assert caught.value.reason == "FRAMES_DAMAGED"


def test_an_anchor_that_is_no_node_is_refused(labelled: LabelledSet, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="the nodes are head, thorax, tail"):
        source(labelled, tmp_path, anchor_part="wing")

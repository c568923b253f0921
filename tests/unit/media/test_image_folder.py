"""A folder of images is a video."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from shoal_core.errors import DataLoss, InvalidArgument
from shoal_media.frames import encode_jpeg, encode_png
from shoal_media.readers import open_video

from .videos import scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(12):
        (tmp_path / f"img{index}.png").write_bytes(encode_png(scene(index)))
    (tmp_path / "notes.txt").write_text("ignored")
    (tmp_path / "._img1.png").write_bytes(b"ignored")
    return tmp_path


def test_images_are_read_in_natural_order(folder: Path) -> None:
    with open_video(folder) as reader:
        assert reader.info.frame_count == 12
        assert reader.info.is_gray
        assert reader.info.fps is None
        for index in (11, 2, 10, 1, 0):
            assert np.array_equal(reader.read(index), scene(index)[..., :1])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".tiff"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    rgb_HWC = scene(3)
    rgb_HWC[..., 1] //= 2
    cv2.imwrite(str(tmp_path / f"0{suffix}"), rgb_HWC[..., ::-1])
    with open_video(tmp_path) as reader:
        assert reader.channels == 3
        assert np.array_equal(reader.read(0), rgb_HWC)


def test_jpeg_is_read(tmp_path: Path) -> None:
    smooth_HWC = np.repeat(
        np.tile(np.arange(96, dtype=np.uint8), (64, 1))[..., np.newaxis], 3, axis=2
    )
    (tmp_path / "0.jpg").write_bytes(encode_jpeg(smooth_HWC))
    with open_video(tmp_path, channels=1) as reader:
        assert np.abs(reader.read(0).astype(int) - smooth_HWC[..., :1]).max() <= 2


def test_gray_images_can_be_read_as_rgb(folder: Path) -> None:
    with open_video(folder, channels=3) as reader:
        assert np.array_equal(reader.read(5), scene(5))


def test_an_image_of_another_size_is_named(folder: Path) -> None:
    odd = folder / "img7.png"
    odd.write_bytes(encode_png(scene(7, width=40)))
    with open_video(folder) as reader, pytest.raises(DataLoss) as refused:
        reader.read(7)
    assert refused.value.reason == "FRAME_UNREADABLE"
    assert str(odd) in refused.value.message


def test_a_damaged_image_is_named(folder: Path) -> None:
    damaged = folder / "img4.png"
    damaged.write_bytes(damaged.read_bytes()[:50])
    with open_video(folder) as reader, pytest.raises(DataLoss) as refused:
        reader.read(4)
    assert str(damaged) in refused.value.message


def test_an_image_of_another_depth_is_named(folder: Path) -> None:
    odd = folder / "img7.png"
    cv2.imwrite(str(odd), scene(7)[..., 0].astype(np.uint16))
    with open_video(folder) as reader, pytest.raises(DataLoss) as refused:
        reader.read(7)
    assert refused.value.reason == "FRAME_UNREADABLE"
    assert str(odd) in refused.value.message


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_a_single_image_is_refused_and_the_folder_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one{suffix}"
    cv2.imwrite(str(path), scene(0))
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert refused.value.reason == "VIDEO_UNREADABLE"
    assert f"give its folder {tmp_path}" in refused.value.message


def test_floating_point_images_are_refused_with_the_cure(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.tif"), np.full((8, 8), 0.5, np.float32))
    with pytest.raises(InvalidArgument) as refused:
        open_video(tmp_path)
    assert refused.value.reason == "VIDEO_UNREADABLE"

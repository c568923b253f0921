"""Pixels equal those of OpenCV's reader, which is what SLEAP sees."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_media.readers import open_video
from shoal_media.readers.pixels import GrayTable

from .videos import PLAIN, encode, scene

VideoOfKind = Callable[[str], Path]


def opencv_frames(path: Path) -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        done, bgr_HWC = capture.read()
        if not done:
            capture.release()
            return frames
        frames.append(np.asarray(bgr_HWC[..., ::-1], np.uint8))


def colour_scene(frame_index: int) -> NDArray[np.uint8]:
    rgb_HWC = scene(frame_index)
    rgb_HWC[..., 1] = np.arange(96)
    rgb_HWC[..., 2] = 255 - rgb_HWC[..., 2]
    return rgb_HWC


@pytest.mark.parametrize(
    "kind", ["mp4 with B-frames", "full chroma", "vp9 mkv with hidden frames", "lossless mkv"]
)
def test_gray_and_rgb_equal_opencv_bit_for_bit(kind: str, video_of_kind: VideoOfKind) -> None:
    path = video_of_kind(kind)
    expected = opencv_frames(path)
    with open_video(path) as gray, open_video(path, channels=3) as rgb:
        assert gray.info.is_gray
        for rgb_HWC, gray_HWC, opencv_HWC in zip(
            rgb.frames(), gray.frames(), expected, strict=True
        ):
            assert np.array_equal(rgb_HWC, opencv_HWC)
            assert np.array_equal(gray_HWC, opencv_HWC[..., :1])


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_colour_video_is_rgb_and_equals_opencv(tmp_path: Path, pixel_format: str) -> None:
    path = encode(tmp_path / "colour.mp4", "libx264", pixel_format, PLAIN, frame=colour_scene)
    with open_video(path) as reader:
        assert not reader.info.is_gray
        assert reader.channels == 3
        for rgb_HWC, opencv_HWC in zip(reader.frames(), opencv_frames(path), strict=True):
            assert np.array_equal(rgb_HWC, opencv_HWC)


def test_gray_of_a_colour_video_is_the_weighted_sum(tmp_path: Path) -> None:
    path = encode(tmp_path / "colour.mp4", options=PLAIN, frame=colour_scene)
    with open_video(path, channels=1) as gray, open_video(path, channels=3) as rgb:
        for index in (0, 40, 89):
            exact_HW = rgb.read(index) @ np.array([0.2989, 0.587, 0.114])
            assert np.abs(gray.read(index)[..., 0] - exact_HW).max() <= 0.5 + 1e-3


def test_full_range_video_is_not_stretched(tmp_path: Path) -> None:
    path = encode(tmp_path / "full.avi", "mjpeg", "yuvj444p", {"qscale": "2"})
    with open_video(path, channels=1) as reader:
        for gray_HWC, opencv_HWC in zip(reader.frames(), opencv_frames(path), strict=True):
            assert np.abs(gray_HWC.astype(int) - opencv_HWC).max() <= 2


@pytest.mark.parametrize(
    "levels_256",
    [
        np.arange(256),
        np.clip(np.floor((np.arange(256) - 16) * (9539 * 8 / 65536)), 0, 255),
        np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255),
        np.arange(255, -1, -1),
    ],
    ids=["identity", "truncated range", "rounded range", "any other"],
)
def test_a_gray_table_gives_exactly_its_levels(levels_256: NDArray[np.float64]) -> None:
    luma_HW = np.random.default_rng(3).integers(0, 256, (37, 61), dtype=np.uint8)
    out_HW = np.empty_like(luma_HW)
    GrayTable(levels_256.astype(np.uint8)).apply(luma_HW, out_HW)
    assert np.array_equal(out_HW, levels_256.astype(np.uint8)[luma_HW])

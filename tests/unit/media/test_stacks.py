"""TIFF stacks, HDF5 datasets and image folders give every pixel, at random as in order."""

from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import FailedPrecondition, InvalidArgument, OutOfRange
from shoal_media.readers import open_video
from shoal_media.readers.window import Windowing

from .stacks import FRAME_COUNT, STACKS, WRITERS, deep_FHW, gray_FHW, windowed, write_images


@pytest.fixture(params=[f"{writer}: {stack}" for writer in WRITERS for stack in STACKS])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A path and the 8-bit frames [F, H, W, C] that it must give."""
    writer, stack_name = request.param.split(": ")
    stack = STACKS[stack_name]()
    path = WRITERS[writer](tmp_path, stack)
    if stack_name == "16-bit":
        stack = windowed(stack, int(stack.min()), int(stack.max()))
    return path, stack if stack.ndim == 4 else stack[..., np.newaxis]


def test_every_pixel_is_kept_and_random_reads_equal_sequential_ones(
    stored: tuple[Path, np.ndarray],
) -> None:
    path, expected_FHWC = stored
    with open_video(path) as reader:
        assert reader.info.path == path
        assert reader.info.is_gray == (expected_FHWC.shape[3] == 1)
        assert reader.info.missing_frame_count == 0
        assert reader.info.keyframe_indices_K.tolist() == list(range(FRAME_COUNT))
        sequential = list(reader.frames())
        assert np.array_equal(sequential, expected_FHWC)
        slot_HWC = np.empty(reader.frame_shape_HWC, np.uint8)
        for index in np.random.default_rng(3).integers(0, FRAME_COUNT, 1000).tolist():
            reader.read_into(index, slot_HWC)
            assert np.array_equal(slot_HWC, sequential[index])


def test_gray_can_be_read_as_rgb_and_rgb_as_gray(stored: tuple[Path, np.ndarray]) -> None:
    path, expected_FHWC = stored
    with open_video(path, channels=3) as reader:
        assert np.array_equal(
            reader.read(5), np.broadcast_to(expected_FHWC[5], reader.frame_shape_HWC)
        )
    with open_video(path, channels=1) as reader:
        gray_HW = expected_FHWC[5] @ (
            [0.2989, 0.587, 0.114] if len(expected_FHWC[5].T) == 3 else [1]
        )
        assert np.abs(reader.read(5)[..., 0] - gray_HW).max() <= 0.51


def test_what_is_outside_or_closed_is_refused(stored: tuple[Path, np.ndarray]) -> None:
    reader = open_video(stored[0])
    with pytest.raises(OutOfRange):
        reader.read(FRAME_COUNT)
    reader.close()
    with pytest.raises(FailedPrecondition):
        reader.read(0)


def test_the_hash_is_that_of_the_content(stored: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = stored
    with open_video(path) as first:
        moved = path.rename(tmp_path / f"moved{path.suffix}")
        with open_video(moved) as second:
            assert first.info.content_hash == second.info.content_hash


def test_the_default_window_is_the_range_of_evenly_spaced_frames(tmp_path: Path) -> None:
    deep = deep_FHW()
    deep[-1, 0, :2] = 1, 60_000
    with open_video(write_images(tmp_path, deep)) as reader:
        assert reader.info.window == (1, 60_000)
        assert np.array_equal(reader.read(7)[..., 0], windowed(deep[7], 1, 60_000))


def test_a_given_window_is_obeyed_and_recorded(tmp_path: Path) -> None:
    deep = deep_FHW()
    with open_video(write_images(tmp_path, deep), window=(1000, 2000)) as reader:
        assert reader.info.window == (1000, 2000)
        assert np.array_equal(reader.read(7)[..., 0], windowed(deep[7], 1000, 2000))


def test_a_video_of_one_level_has_a_window(tmp_path: Path) -> None:
    path = write_images(tmp_path, np.full((3, 8, 8), 65535, np.uint16))
    with open_video(path) as reader:
        assert reader.info.window == (65534, 65535)


@pytest.mark.parametrize("window", [(0, 255), (0, 4095), (100, 101), (0, 65535), (32, 50_000)])
def test_the_window_is_exact_for_every_level(window: tuple[int, int]) -> None:
    levels = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256, 1)
    shown = np.empty(levels.shape, np.uint8)
    Windowing(window).apply_into(levels, shown)
    assert np.array_equal(shown, windowed(levels, *window))


@pytest.mark.parametrize("window", [(5, 5), (10, 2), (-1, 5), (0, 65536)])
def test_an_impossible_window_is_refused(tmp_path: Path, window: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        open_video(write_images(tmp_path, deep_FHW()), window=window)
    assert refused.value.reason == "WINDOW_INVALID"


def test_a_window_for_eight_bits_is_refused(tmp_path: Path, plain_video: Path) -> None:
    for path in (write_images(tmp_path, gray_FHW()), plain_video):
        with pytest.raises(InvalidArgument) as refused:
            open_video(path, window=(0, 100))
        assert refused.value.reason == "WINDOW_NOT_APPLICABLE"

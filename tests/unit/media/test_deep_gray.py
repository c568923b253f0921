"""Gray of more than 8 bits in containers is shown through a window that is recorded."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_media.readers import open_video

from .stacks import FRAME_COUNT, windowed
from .videos import scene

FORMATS = {
    # name: (file name, codec, pixel format, bits, options)
    "FFV1, 10 bits": ("a.mkv", "ffv1", "gray10le", 10, {}),
    "FFV1, 12 bits": ("a.avi", "ffv1", "gray12le", 12, {}),
    "FFV1, 16 bits": ("a.mkv", "ffv1", "gray16le", 16, {}),
    "PNG, 16 bits": ("a.mov", "png", "gray16be", 16, {}),
    "HEVC, 12 bits": (
        *("a.mp4", "libx265", "gray12le", 12),
        {"x265-params": "lossless=1:bframes=3:keyint=8:min-keyint=8:log-level=none"},
    ),
}


def deep_scene(index: int, bits: int) -> NDArray[np.uint16]:
    """A scene of which the first frame has the darkest and the brightest level."""
    deep = scene(index)[..., 0].astype(np.uint16) * (1 << (bits - 8)) // 2 + 7
    if index == 0:
        deep[-1, -2:] = (3, (1 << bits) - 2)
    return deep


@pytest.fixture(params=FORMATS)
def deep_video(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """A path and its number of bits."""
    name, codec, pixel_format, bits, options = FORMATS[request.param]
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        stream.options = options
        for index in range(FRAME_COUNT):
            picture = av.VideoFrame(96, 64, pixel_format)
            dtype = ">u2" if picture.format.is_big_endian else "<u2"
            rows = np.zeros((64, picture.planes[0].line_size // 2), dtype)
            rows[:, :96] = deep_scene(index, bits)
            picture.planes[0].update(rows.tobytes())
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return tmp_path / name, bits


def test_every_level_is_shown_through_the_range_of_levels(deep_video: tuple[Path, int]) -> None:
    path, bits = deep_video
    low, high = 3, (1 << bits) - 2
    with open_video(path) as gray, open_video(path, channels=3) as rgb:
        assert gray.info.window == (low, high)
        assert gray.channels == 1
        for index in range(FRAME_COUNT):
            expected_HW = windowed(deep_scene(index, bits), low, high)
            assert np.array_equal(gray.read(index)[..., 0], expected_HW)
            assert np.array_equal(rgb.read(index), np.repeat(expected_HW[..., np.newaxis], 3, 2))


def test_the_window_does_not_depend_on_what_is_read_first(deep_video: tuple[Path, int]) -> None:
    path, bits = deep_video
    with open_video(path) as reader:
        sequential = list(reader.frames())
    for first in (FRAME_COUNT - 1, 11):
        with open_video(path) as reader:
            assert np.array_equal(reader.read(first), sequential[first])
            assert reader.info.window == (3, (1 << bits) - 2)


def test_a_given_window_is_obeyed(deep_video: tuple[Path, int]) -> None:
    path, bits = deep_video
    with open_video(path, window=(100, 700)) as reader:
        assert reader.info.window == (100, 700)
        expected_HW = windowed(deep_scene(9, bits), 100, 700)
        assert np.array_equal(reader.read(9)[..., 0], expected_HW)
    with pytest.raises(InvalidArgument) as refused:
        open_video(path, window=(7, 7))
    assert refused.value.reason == "WINDOW_INVALID"

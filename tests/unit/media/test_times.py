"""Laws of presentation times."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import OutOfRange
from shoal_media.frames import encode_png
from shoal_media.readers import open_video

from .videos import FRAME_COUNT, scene


@pytest.mark.parametrize("kind", ["variable frame rate", "variable frame rate mkv"])
def test_a_variable_frame_rate_keeps_its_times(
    kind: str, video_of_kind: Callable[[str], Path]
) -> None:
    steps_ms = np.random.default_rng(1).integers(5, 120, FRAME_COUNT)
    with open_video(video_of_kind(kind)) as reader:
        times_ms = [reader.time_ms(index) for index in range(FRAME_COUNT)]
    np.testing.assert_allclose(np.diff(times_ms), steps_ms[1:], atol=0.01)
    assert times_ms[0] == 0


@pytest.mark.parametrize(
    "kind", ["mp4 with B-frames", "avi with B-frames, whose times are wrong", "mpeg4 avi"]
)
def test_a_constant_frame_rate_gives_equal_steps(
    kind: str, video_of_kind: Callable[[str], Path]
) -> None:
    with open_video(video_of_kind(kind)) as reader:
        times_ms = [reader.time_ms(index) for index in range(FRAME_COUNT)]
        with pytest.raises(OutOfRange):
            reader.time_ms(FRAME_COUNT)
    np.testing.assert_allclose(times_ms, 40 * np.arange(FRAME_COUNT), atol=1e-6)


def test_a_folder_of_images_has_no_clock(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"{index}.png").write_bytes(encode_png(scene(index)))
    with open_video(tmp_path) as reader:
        assert reader.time_ms(1) == 0

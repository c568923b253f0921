"""What has the final name is complete and shows what was written."""

import os
from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument, NotFound, ResourceExhausted
from shoal_media.readers import open_video
from shoal_media.writers import VideoWriter

from .videos import scene


def _gradient(frame_index: int) -> np.ndarray:
    frame_HWC = np.zeros((63, 95, 3), np.uint8)
    frame_HWC[..., 0] = np.arange(95)
    frame_HWC[..., 1] = 2 * np.arange(63)[:, np.newaxis]
    frame_HWC[..., 2] = 80 + frame_index
    return frame_HWC


def test_written_frames_are_read_back_in_order_and_colour(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=29.97, crf=5) as writer:
        for index in range(30):
            writer.write(_gradient(index))
    with open_video(path) as reader:
        assert reader.info.frame_count == 30
        assert reader.info.fps == pytest.approx(29.97)
        assert reader.frame_shape_HWC == (64, 96, 3)  # an even size, the edge repeated
        for index in (0, 17, 29):
            difference_HWC = np.abs(reader.read(index)[:63, :95].astype(int) - _gradient(index))
            assert difference_HWC.mean() < 3
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_gray_frames_stay_gray(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "gray.mp4", fps=10) as writer:
        writer.write(scene(0)[..., :1])
    with open_video(tmp_path / "gray.mp4") as reader:
        assert reader.info.is_gray


def _write_and_fail(path: Path) -> None:
    with VideoWriter(path, fps=25) as writer:
        writer.write(scene(0))
        raise RuntimeError


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _write_and_fail(tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_an_older_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError):
        _write_and_fail(path)
    assert path.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_video_without_frames_is_an_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as refused, VideoWriter(tmp_path / "out.mp4", fps=25):
        pass
    assert refused.value.reason == "VIDEO_EMPTY"
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=25)
    writer.write(scene(0))
    with pytest.raises(InvalidArgument) as refused:
        writer.write(scene(0, width=64))
    assert refused.value.reason == "FRAME_SHAPE_MISMATCH"
    writer.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"fps": 0}, "FPS_OUT_OF_RANGE"), ({"fps": 25, "crf": 52}, "CRF_OUT_OF_RANGE")],
)
def test_settings_outside_their_range_are_refused(tmp_path: Path, options, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        VideoWriter(tmp_path / "out.mp4", **options)
    assert refused.value.reason == reason


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refused:
        VideoWriter(tmp_path / "nowhere" / "out.mp4", fps=25)
    assert refused.value.reason == "FOLDER_NOT_FOUND"


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / f".out.mp4.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(ResourceExhausted) as refused:
        _write_noise(tmp_path / "out.mp4")
    assert refused.value.reason == "DISK_FULL"
    assert list(tmp_path.iterdir()) == []


def _write_noise(path: Path) -> None:
    with VideoWriter(path, fps=25, crf=0) as writer:
        for index in range(100):
            writer.write(scene(index))

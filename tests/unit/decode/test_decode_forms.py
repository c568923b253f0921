"""Laws of what decode sends: nothing too large, nothing thinned out that fits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_decode.convert import MAX_KEYFRAMES, probe_response
from shoal_decode.pictures import PictureForm, make_picture
from shoal_media.readers import VideoInfo, VideoReader


def video_info(keyframe_indices_K: NDArray[np.int64], **fields: int | None) -> VideoInfo:
    return VideoInfo(
        path=Path("/data/video.mp4"),
        frame_count=10_000_000,
        height_px=9000,
        width_px=9000,
        fps=30.0,
        is_gray=True,
        keyframe_indices_K=keyframe_indices_K,
        content_hash="ab",
        missing_frame_count=fields.get("missing_frame_count", 0),
    )


class BlackVideo(VideoReader):
    """Frames of 81 megapixels."""

    def _decode_into(self, frame_index: int, out_HWC: NDArray[np.uint8]) -> None:
        out_HWC[...] = 0

    def _release(self) -> None:
        pass


@pytest.mark.parametrize("count", [1, 100, MAX_KEYFRAMES])
def test_keyframes_that_fit_are_all_told(count: int) -> None:
    keyframes_K = np.arange(count) * 7
    assert list(probe_response(video_info(keyframes_K)).keyframe_indices) == keyframes_K.tolist()


def test_too_many_keyframes_are_thinned_out_evenly() -> None:
    keyframes_K = np.arange(MAX_KEYFRAMES * 3)
    told = np.array(probe_response(video_info(keyframes_K)).keyframe_indices)
    assert len(told) == MAX_KEYFRAMES
    assert told[0] == 0
    assert told[-1] == keyframes_K[-1]
    assert set(np.diff(told)) <= {2, 3, 4}


def test_the_first_frame_counts_as_a_keyframe_even_if_its_own_is_hidden() -> None:
    assert list(probe_response(video_info(np.array([5, 9]))).keyframe_indices) == [0, 5, 9]


@pytest.mark.parametrize(("missing", "told"), [(0, 0), (12, 12), (None, -1)])
def test_a_probe_tells_what_a_cut_off_file_has_lost(missing: int | None, told: int) -> None:
    info = video_info(np.array([0]), missing_frame_count=missing)
    assert probe_response(info).video.missing_frame_count == told


def test_a_frame_that_fits_no_message_is_refused_with_the_cure() -> None:
    reader = BlackVideo(video_info(np.array([0])), None)
    with pytest.raises(InvalidArgument, match="max_side_px") as refused:
        make_picture(reader, 3, PictureForm(encoding="raw", max_side_px=None))
    assert refused.value.reason == "FRAME_TOO_LARGE"
    picture = make_picture(reader, 3, PictureForm(encoding="raw", max_side_px=300))
    assert picture.content.shape == (300, 300, 1)
    assert picture.timestamp_ms == 100


@pytest.mark.parametrize("module", ["shoal_decode.__main__", "shoal_serving.__main__"])
def test_a_process_starts_without_the_libraries_that_only_work_needs(module: str) -> None:
    heavy = {"av", "cv2", "h5py", "onnx", "onnxruntime", "scipy", "sleap_io", "torch"}
    script = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == ""

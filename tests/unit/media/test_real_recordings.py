"""The laws of the readers on real recordings."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from shoal_media.readers import open_video

RECORDINGS = {
    "flies_clip/clip.mp4": (1500, (1024, 1024, 1)),
    "flies_demo/demo-flies13-preds.mp4": (1350, (1024, 1024, 1)),
    "pair/centered_pair_small.mp4": (1100, (384, 384, 1)),
    "pair/centered_pair_low_quality.mp4": (1100, (384, 384, 1)),
    "robot/small_robot.mp4": (166, (320, 560, 3)),
    "dlc_openfield/videos/m3v1mp4.mp4": (2330, (480, 640, 1)),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_frame_equals_opencv_and_random_reads_equal_it_too(
    name: str, shared_data: Path
) -> None:
    frame_count, shape_HWC = RECORDINGS[name]
    capture = cv2.VideoCapture(str(shared_data / name))
    sums = []
    with open_video(shared_data / name) as reader:
        assert (reader.info.frame_count, reader.frame_shape_HWC) == (frame_count, shape_HWC)
        for frame_HWC in reader.frames():
            _, bgr_HWC = capture.read()
            expected_HWC = bgr_HWC[..., ::-1] if shape_HWC[2] == 3 else bgr_HWC[..., :1]
            sums.append(zlib.crc32(frame_HWC))
            assert np.array_equal(frame_HWC, expected_HWC)
    capture.release()
    with open_video(shared_data / name) as reader:
        for index in np.random.default_rng(7).integers(0, frame_count, 12).tolist():
            assert zlib.crc32(reader.read(index)) == sums[index]


def test_a_late_first_read_of_old_full_chroma_video_is_right(shared_data: Path) -> None:
    """FFmpeg must have seen x264's version, in the first packet, to decode this stream."""
    path = shared_data / "dlc_openfield" / "videos" / "m3v1mp4.mp4"
    with open_video(path, channels=3) as reader:
        keyframe = int(reader.info.keyframe_indices_K[-1])
        rgb_HWC = reader.read(keyframe)
    assert np.array_equal(rgb_HWC[..., 0], rgb_HWC[..., 1])


def test_a_folder_of_labelled_images_is_a_video(shared_data: Path) -> None:
    folder = shared_data / "dlc_openfield" / "labeled-data" / "m4s1"
    images = sorted(folder.glob("*.png"))
    with open_video(folder) as reader:
        assert reader.info.frame_count == len(images)
        expected_HWC = cv2.imread(str(images[-1]))
        assert np.array_equal(
            reader.read(len(images) - 1), expected_HWC[..., ::-1][..., : reader.channels]
        )

"""What containers say beside the pixels, and what of it counts: what OpenCV, so SLEAP, obeys."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_media.readers import open_video

from .test_pixels import colour_scene, opencv_frames
from .videos import FRAME_COUNT, PLAIN, decoded_in_order, encode, remux, scene

QUARTER_TURNS = {
    # clockwise turns of the picture: the first four entries of the display matrix
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}


def _with_matrix(video: Path, target: Path, quarter: tuple[int, int, int, int]) -> Path:
    content = bytearray(video.read_bytes())
    place = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in quarter)
    content[place : place + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    target.write_bytes(content)
    return target


def _assert_equals_opencv(path: Path, *, thread_count: int = 1) -> None:
    expected = opencv_frames(path)
    with open_video(path, channels=3, thread_count=thread_count) as reader:
        assert reader.info.frame_count == len(expected)
        assert reader.frame_shape_HWC == expected[0].shape
        for rgb_HWC, opencv_HWC in zip(reader.frames(), expected, strict=True):
            assert np.array_equal(rgb_HWC, opencv_HWC)


@pytest.mark.parametrize("degrees", QUARTER_TURNS)
def test_rotated_videos_are_turned_as_opencv_turns_them(degrees: int, tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4", options=PLAIN, frame=colour_scene)
    path = _with_matrix(plain, tmp_path / "turned.mp4", QUARTER_TURNS[degrees])
    _assert_equals_opencv(path)
    with open_video(path) as turned, open_video(plain) as upright:
        expected_HWC = np.rot90(upright.read(40), -degrees // 90)
        assert np.array_equal(turned.read(40), expected_HWC)


def test_the_shape_of_pixels_is_ignored(tmp_path: Path) -> None:
    """Labels refer to stored pixels: an anamorphic video is not stretched."""
    path = tmp_path / "anamorphic.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(index), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
    _assert_equals_opencv(path)


def test_interlaced_video_is_woven_and_not_deinterlaced(tmp_path: Path) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "interlaced=1:keyint=12:bframes=2"}
    path = encode(tmp_path / "interlaced.mp4", options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    # OpenCV 5 gives a picture of one colour here.
    with open_video(path, channels=3) as reader:
        for index, truth_HWC in enumerate(decoded_in_order(path)):
            assert np.array_equal(reader.read(index), truth_HWC)
            assert np.abs(truth_HWC.astype(int) - scene(index)).mean() < 8


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("ten.mp4", "libx264", "yuv420p10le"),
        ("ten.mkv", "ffv1", "yuv422p10le"),
        ("full.mp4", "libx264", "yuvj420p"),
        ("gray.mkv", "ffv1", "gray"),
        ("planar.mkv", "ffv1", "bgr0"),
        ("raw.avi", "rawvideo", "yuv420p"),
        ("chroma.mp4", "libx264", "yuv422p"),
    ],
)
def test_every_pixel_format_equals_opencv(
    name: str, codec: str, pixel_format: str, tmp_path: Path
) -> None:
    path = encode(tmp_path / name, codec, pixel_format, frame=colour_scene)
    _assert_equals_opencv(path)


@pytest.mark.parametrize("shift_frames", [-2, 3])
def test_times_that_start_elsewhere_than_at_zero_shift_no_frame(
    shift_frames: int, tmp_path: Path
) -> None:
    plain = encode(tmp_path / "plain.mkv", options={"bf": "0", "g": "12"})
    path = remux(plain, tmp_path / "shifted.ts", shift=shift_frames * 40)
    with open_video(path) as shifted, open_video(plain) as upright:
        assert shifted.info.frame_count == FRAME_COUNT
        assert all(
            np.array_equal(*pair) for pair in zip(shifted.frames(), upright.frames(), strict=True)
        )
        assert shifted.time_ms(0) == 0


def _with_second_stream(path: Path, *, is_picture_first: bool) -> Path:
    """A film and a still picture, a cover for example."""
    with av.open(str(path), "w") as container:
        streams = {}
        for name in ("cover", "film") if is_picture_first else ("film", "cover"):
            codec, size = ("mjpeg", 32) if name == "cover" else ("libx264", 96)
            streams[name] = container.add_stream(codec, rate=25)
            streams[name].width = streams[name].height = size
            streams[name].pix_fmt = "yuvj420p" if name == "cover" else "yuv420p"
        for index in range(FRAME_COUNT):
            square = np.resize(scene(index, width=96, height=96), (96, 96, 3))
            picture = av.VideoFrame.from_ndarray(square, format="rgb24")
            container.mux(streams["film"].encode(picture))
        still = av.VideoFrame.from_ndarray(square[:32, :32].copy(), format="rgb24")
        container.mux(streams["cover"].encode(still))
        for stream in streams.values():
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("is_picture_first", [False, True])
def test_a_still_picture_beside_the_film_is_not_the_video(
    is_picture_first: bool, tmp_path: Path
) -> None:
    path = _with_second_stream(tmp_path / "two.mkv", is_picture_first=is_picture_first)
    with open_video(path) as reader:
        assert reader.info.frame_count == FRAME_COUNT
        assert (reader.info.width_px, reader.info.height_px) == (96, 96)


def test_two_packets_of_one_time_are_two_frames(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mkv", options={"bf": "0", "g": "12"})
    path = tmp_path / "twice.mkv"
    with av.open(str(plain)) as reading, av.open(str(path), "w") as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in reading.demux(stream) if p.size):
            if number == 40:
                packet.pts -= 40
            packet.dts, packet.stream = packet.pts, copy
            writing.mux(packet)
    truth = list(decoded_in_order(plain))
    with open_video(path) as reader:
        frames: list[NDArray[np.uint8]] = list(reader.frames())
        assert [int(np.array_equal(a, b[..., :1])) for a, b in zip(frames, truth, strict=True)] == (
            [1] * FRAME_COUNT
        )
        for index in (41, 39, 40, 2):
            assert np.array_equal(reader.read(index), frames[index])


def test_odd_sizes_equal_opencv(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "odd.mkv", "ffv1", frame=lambda index: scene(index, width=61, height=45)
    )
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_WIDTH) == 61
    _assert_equals_opencv(path)

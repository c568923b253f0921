"""Laws of Norpix sequences; their pixels are tested with the other stacks."""

from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import DataLoss, InvalidArgument
from shoal_media.frames import decode_image
from shoal_media.readers import open_video

from .camera_files import STEP_US, write_seq, write_seq_of_files
from .stacks import FRAME_COUNT, deep_FHW, gray_FHW


@pytest.mark.parametrize("version", [3, 4, 5])
def test_times_are_those_of_the_camera(version: int, tmp_path: Path) -> None:
    with open_video(write_seq(version)(tmp_path, gray_FHW())) as reader:
        times_ms = [reader.time_ms(index) for index in range(FRAME_COUNT)]
        assert reader.info.fps == 30
    exact_ms = np.arange(FRAME_COUNT) * STEP_US / 1000
    # Before version 5 the recorder kept whole milliseconds.
    expected_ms = exact_ms if version == 5 else np.floor(exact_ms)
    np.testing.assert_allclose(times_ms, expected_ms, atol=1e-9)


@pytest.mark.parametrize(("version", "stored_bytes"), [(3, 0), (3, 5), (5, 0), (5, 7)])
def test_a_last_time_that_is_cut_off_is_taken_from_the_frame_rate(
    version: int, stored_bytes: int, tmp_path: Path
) -> None:
    path = write_seq(version)(tmp_path, gray_FHW())
    trailer_bytes = 8 + 500
    path.write_bytes(path.read_bytes()[: stored_bytes - trailer_bytes])
    last = FRAME_COUNT - 1
    with open_video(path) as reader:
        assert reader.info.frame_count == FRAME_COUNT
        assert reader.time_ms(last) == pytest.approx(1000 * last / 30)


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("padding", [0, 8])
def test_images_in_jpeg_are_found_and_decoded(version: int, padding: int, tmp_path: Path) -> None:
    path = write_seq_of_files(".jpg", version=version, padding=padding)(tmp_path, gray_FHW())
    content = path.read_bytes()
    starts = [
        place for place in range(len(content)) if content[place : place + 3] == b"\xff\xd8\xff"
    ]
    with open_video(path) as reader:
        assert reader.info.frame_count == len(starts) == FRAME_COUNT
        for index in (0, 11, FRAME_COUNT - 1):
            assert np.array_equal(reader.read(index), decode_image(content[starts[index] :]))
        assert reader.time_ms(3) == pytest.approx(3 * STEP_US / 1000, abs=1)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_sequence_that_is_cut_off_gives_its_whole_images(
    is_compressed: bool, tmp_path: Path
) -> None:
    write = write_seq_of_files(".jpg", version=3) if is_compressed else write_seq(5)
    path = write(tmp_path, gray_FHW())
    with open_video(path) as whole:
        frames = list(whole.frames())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with open_video(path) as cut:
        assert 10 < cut.info.frame_count < 20
        assert cut.info.missing_frame_count == FRAME_COUNT - cut.info.frame_count
        assert all(np.array_equal(*pair) for pair in zip(cut.frames(), frames, strict=False))


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_recording_that_was_never_closed_has_lost_nobody_knows_what(
    is_compressed: bool, tmp_path: Path
) -> None:
    write = (
        write_seq_of_files(".jpg", version=3, count=0) if is_compressed else write_seq(5, count=0)
    )
    with open_video(write(tmp_path, gray_FHW())) as reader:
        assert reader.info.frame_count == FRAME_COUNT
        assert reader.info.missing_frame_count is None


def test_what_follows_the_announced_images_is_no_frame(tmp_path: Path) -> None:
    with open_video(write_seq(5, count=20)(tmp_path, deep_FHW())) as reader:
        assert reader.info.frame_count == 20


def test_a_damaged_jpeg_is_named_and_the_others_stay_readable(tmp_path: Path) -> None:
    path = write_seq_of_files(".jpg", version=3)(tmp_path, gray_FHW())
    content = bytearray(path.read_bytes())
    second = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd8\xff") + 3)
    content[second + 3 : second + 400] = bytes(397)
    path.write_bytes(content)
    with open_video(path) as reader:
        with pytest.raises(DataLoss) as refused:
            reader.read(1)
        assert refused.value.metadata["frame_index"] == "1"
        assert reader.read(2).shape == reader.frame_shape_HWC


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (548, 2**31, "record it again"),  # width
        (552, 0, "record it again"),  # height
        (556, 64, "record it again"),  # bits
        (568, 101, "export it from StreamPix"),  # Bayer pattern
        (580, 3, "damaged header"),  # stride
        (620, 8, "export it from StreamPix"),  # H.264
    ],
)
def test_a_header_that_cannot_be_followed_is_refused(
    offset: int, value: int, message: str, tmp_path: Path
) -> None:
    path = write_seq(5)(tmp_path, gray_FHW())
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match=message) as refused:
        open_video(path)
    assert refused.value.reason == "VIDEO_UNREADABLE"


@pytest.mark.parametrize("size_bytes", [4, 1000, 8192, 9000])
def test_a_sequence_without_a_whole_image_is_refused(size_bytes: int, tmp_path: Path) -> None:
    path = write_seq(5)(tmp_path, gray_FHW())
    path.write_bytes(path.read_bytes()[:size_bytes])
    with pytest.raises(InvalidArgument, match="is cut off"):
        open_video(path)

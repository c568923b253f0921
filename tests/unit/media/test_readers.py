"""A random read equals the sequential read, and both equal what decoding in order shows."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from shoal_core.errors import FailedPrecondition, InvalidArgument, OutOfRange
from shoal_media.readers import open_video
from shoal_media.readers.container import ContainerReader
from shoal_media.readers.frame_decoder import FrameDecoder
from shoal_media.readers.packet_index import PacketIndex, presentation_order
from shoal_media.readers.packet_source import PacketSource

from .videos import FRAME_COUNT, CountingSource, decoded_in_order, encode, scene

VideoOfKind = Callable[[str], Path]


def test_sequential_frames_are_those_of_plain_decoding(any_video: Path) -> None:
    with open_video(any_video, channels=3) as reader:
        frames = list(reader.frames())
    truth = list(decoded_in_order(any_video))
    # Pictures before the first keyframe cannot be decoded and have no index.
    assert len(frames) == len(truth)
    assert all(np.array_equal(*pair) for pair in zip(frames, truth, strict=True))


@pytest.mark.parametrize("thread_count", [1, 3])
def test_random_reads_equal_sequential_reads(any_video: Path, thread_count: int) -> None:
    with open_video(any_video) as reader:
        sequential = list(reader.frames())
    indices = np.random.default_rng(2).integers(0, len(sequential), 200).tolist()
    with open_video(any_video, thread_count=thread_count) as reader:
        wrong = [i for i in indices if not np.array_equal(reader.read(i), sequential[i])]
    assert wrong == []


def test_a_first_read_anywhere_equals_the_sequential_read(any_video: Path) -> None:
    with open_video(any_video) as reader:
        sequential = list(reader.frames())
    for index in range(len(sequential) - 1, -1, -11):
        with open_video(any_video) as reader:
            assert np.array_equal(reader.read(index), sequential[index])


def test_every_frame_of_a_whole_file_has_an_index(any_video: Path) -> None:
    hidden_or_undecodable = {"edit.mp4": 7, "late.mkv": FRAME_COUNT - 78}
    with open_video(any_video) as reader:
        assert reader.info.frame_count == FRAME_COUNT - hidden_or_undecodable.get(any_video.name, 0)
        assert not reader.info.has_broken_tail


def test_an_edit_list_hides_frames_that_later_ones_need(video_of_kind: VideoOfKind) -> None:
    whole = video_of_kind("mp4 with B-frames")
    edited = video_of_kind("edit list that hides the first frames")
    with open_video(whole) as all_frames, open_video(edited) as shown:
        assert np.array_equal(shown.read(0), all_frames.read(7))
        assert shown.info.keyframe_indices_K[0] == 12 - 7


@pytest.mark.parametrize(
    "kind",
    ["mp4 with B-frames", "avi with B-frames, whose times are wrong", "vp9 mkv with hidden frames"],
)
def test_keyframes_are_named_by_frame_index(kind: str, video_of_kind: VideoOfKind) -> None:
    with open_video(video_of_kind(kind)) as reader:
        assert reader.info.keyframe_indices_K.tolist() == list(range(0, FRAME_COUNT, 12))


@pytest.fixture
def counted(plain_video: Path) -> Iterator[tuple[CountingSource, FrameDecoder]]:
    source = CountingSource(plain_video, thread_count=1)
    order = presentation_order(source.table)
    yield source, FrameDecoder(source, PacketIndex.from_order(source.table, order))
    source.close()


def test_reads_in_order_never_seek(counted: tuple[CountingSource, FrameDecoder]) -> None:
    source, decoder = counted
    for index in range(FRAME_COUNT):
        decoder.frame(index)
    assert source.start_count == 1


def test_a_repeated_read_decodes_nothing(counted: tuple[CountingSource, FrameDecoder]) -> None:
    source, decoder = counted
    assert decoder.frame(30) is decoder.frame(30)
    assert source.start_count == 1


def test_a_short_way_forward_is_decoded_and_a_long_one_sought(
    counted: tuple[CountingSource, FrameDecoder],
) -> None:
    source, decoder = counted
    decoder.frame(0)
    decoder.frame(5)
    assert source.start_count == 1
    decoder.frame(70)
    assert source.start_count == 2


def test_intra_refresh_starts_are_not_trusted(video_of_kind: VideoOfKind) -> None:
    path = video_of_kind("intra refresh instead of keyframes")
    source = PacketSource(path, thread_count=1)
    index = PacketIndex.from_order(source.table, presentation_order(source.table))
    assert len(index.keyframes_K) > 1
    picture = FrameDecoder(source, index).frame(int(index.keyframe_indices[-1]))
    truth = list(decoded_in_order(path))[int(index.keyframe_indices[-1])]
    assert np.array_equal(picture.to_ndarray(format="rgb24", interpolation="BICUBIC"), truth)
    source.close()


def test_frames_may_start_and_stop_anywhere(plain_video: Path) -> None:
    with open_video(plain_video) as reader:
        sequential = list(reader.frames())
        part = list(reader.frames(17, 41))
        assert len(part) == 24
        assert all(np.array_equal(a, b) for a, b in zip(part, sequential[17:41], strict=True))
        assert list(reader.frames(41, 41)) == []


def test_read_into_writes_into_the_given_memory(plain_video: Path) -> None:
    slots_BHWC = np.zeros((3, 64, 96, 1), np.uint8)
    with open_video(plain_video) as reader:
        slots = iter(slots_BHWC)
        for index, buffer_HWC in reader.frames_into(20, 23, lambda: next(slots)):
            assert np.shares_memory(buffer_HWC, slots_BHWC)
            assert np.array_equal(slots_BHWC[index - 20], reader.read(index))


@pytest.mark.parametrize(
    "buffer",
    [
        np.empty((64, 96, 3), np.uint8),
        np.empty((64, 96, 1), np.float32),
        np.empty((64, 192, 1), np.uint8)[:, ::2],
    ],
    ids=["channels", "type", "stride"],
)
def test_a_buffer_that_does_not_fit_is_refused(plain_video: Path, buffer: Any) -> None:
    with open_video(plain_video) as reader, pytest.raises(InvalidArgument) as refused:
        reader.read_into(0, buffer)
    assert refused.value.reason == "BUFFER_MISMATCH"


@pytest.mark.parametrize("index", [-1, FRAME_COUNT, 10**9])
def test_frames_outside_the_video_are_refused(plain_video: Path, index: int) -> None:
    with open_video(plain_video) as reader, pytest.raises(OutOfRange) as refused:
        reader.read(index)
    assert refused.value.reason == "FRAME_OUT_OF_RANGE"
    assert str(FRAME_COUNT - 1) in refused.value.message


def test_a_closed_reader_says_so_and_leaves_no_file_open(plain_video: Path) -> None:
    reader = open_video(plain_video)
    reader.read(3)
    assert _open_file_count(plain_video) == 1
    reader.close()
    reader.close()
    assert _open_file_count(plain_video) == 0
    with pytest.raises(FailedPrecondition) as refused:
        reader.read(3)
    assert refused.value.reason == "VIDEO_CLOSED"


def _open_file_count(path: Path) -> int:
    return sum(Path(file.path) == path for file in psutil.Process().open_files())


def test_opening_and_closing_again_and_again_takes_no_memory(plain_video: Path) -> None:
    def open_and_read() -> None:
        with open_video(plain_video) as reader:
            reader.read(50)

    process = psutil.Process(os.getpid())
    for _ in range(10):
        open_and_read()
    before_bytes = process.memory_info().rss
    for _ in range(60):
        open_and_read()
    assert process.memory_info().rss - before_bytes < 8 << 20


def test_a_rotated_video_is_turned_as_opencv_turns_it(plain_video: Path, tmp_path: Path) -> None:
    rotated = tmp_path / "rotated.mp4"
    content = bytearray(plain_video.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter_turn = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = np.array(quarter_turn, ">i4").tobytes()
    rotated.write_bytes(bytes(content))
    capture = cv2.VideoCapture(str(rotated))
    with open_video(rotated, channels=3) as reader, open_video(rotated, channels=1) as gray:
        assert (reader.info.width_px, reader.info.height_px) == (64, 96)
        for index in range(10):
            _, bgr_HWC = capture.read()
            assert np.array_equal(reader.read(index), bgr_HWC[..., ::-1])
            assert np.array_equal(gray.read(index), bgr_HWC[..., :1])
    capture.release()


def test_the_times_of_an_avi_with_b_frames_are_not_believed(video_of_kind: VideoOfKind) -> None:
    """The times that the AVI gives are those of the file order: they must not be believed."""
    path = video_of_kind("avi with B-frames, whose times are wrong")
    reader = open_video(path)
    assert isinstance(reader, ContainerReader)
    source = PacketSource(path, thread_count=1)
    assert presentation_order(source.table).tolist() == list(range(FRAME_COUNT))
    corners = [int(frame_HWC[:8, :8].mean()) for frame_HWC in reader.frames()]
    expected = [int(scene(index)[:8, :8].mean()) for index in range(FRAME_COUNT)]
    assert np.abs(np.subtract(corners, expected)).max() < 8
    reader.close()
    source.close()


def test_fps_is_the_nominal_rate(plain_video: Path, video_of_kind: VideoOfKind) -> None:
    with open_video(plain_video) as reader:
        assert reader.info.fps == 25
    with open_video(video_of_kind("variable frame rate")) as reader:
        assert reader.info.fps == pytest.approx(1000 / 62, rel=0.1)


def test_odd_sizes_are_read_like_even_ones(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "odd.mkv", "ffv1", frame=lambda index: scene(index, width=61, height=45)
    )
    truth = list(decoded_in_order(path))
    with open_video(path) as reader:
        assert reader.frame_shape_HWC == (45, 61, 1)
        assert all(
            np.array_equal(frame_HWC[..., 0], rgb_HWC[..., 0])
            for frame_HWC, rgb_HWC in zip(reader.frames(), truth, strict=True)
        )

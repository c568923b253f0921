"""Bad input gives one line with the file, the reason and the cure; a good part stays usable."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_core.errors import DataLoss, InvalidArgument, NotFound, ShoalError
from shoal_media.frames import encode_png
from shoal_media.readers import VideoReader, open_video
from shoal_media.readers.frame_decoder import FrameDecoder
from shoal_media.readers.packet_index import PacketIndex, presentation_order
from shoal_media.readers.packet_source import PacketSource

from .videos import FRAME_COUNT, PLAIN, CountingSource, encode, scene

VideoOfKind = Callable[[str], Path]


def _text(path: Path) -> None:
    path.write_text("not a video\n" * 500)


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(4).bytes(60_000))


@pytest.mark.parametrize(
    ("name", "make", "kind", "reason"),
    [
        ("missing.mp4", lambda path: None, NotFound, "VIDEO_NOT_FOUND"),
        ("empty.mp4", lambda path: path.touch(), InvalidArgument, "VIDEO_EMPTY"),
        ("empty_folder", lambda path: path.mkdir(), InvalidArgument, "VIDEO_EMPTY"),
        ("text.mp4", _text, InvalidArgument, "VIDEO_UNREADABLE"),
        ("text.txt", _text, InvalidArgument, "VIDEO_UNREADABLE"),
        ("noise.avi", _noise, InvalidArgument, "VIDEO_UNREADABLE"),
        (
            "one.png",
            lambda path: path.write_bytes(encode_png(scene(0))),
            *(InvalidArgument, "VIDEO_UNREADABLE"),
        ),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(
    tmp_path: Path, name: str, make: Callable[[Path], None], kind: type[ShoalError], reason: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(kind) as refused:
        open_video(path)
    assert refused.value.reason == reason
    assert str(path) in refused.value.message
    assert "\n" not in refused.value.message


def test_a_video_whose_index_was_never_written_is_refused(
    plain_video: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mp4"
    content = plain_video.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert refused.value.reason == "VIDEO_UNREADABLE"


@pytest.mark.parametrize("thread_count", [1, 3])
@pytest.mark.parametrize("kind", ["index first", "fragments", "avi", "mkv", "mpeg4 avi"])
def test_the_readable_part_of_a_cut_video_is_usable(
    kind: str, thread_count: int, video_of_kind: VideoOfKind, tmp_path: Path
) -> None:
    first = {"movflags": "faststart"}
    whole = {
        "index first": lambda: encode(tmp_path / "w.mp4", options=PLAIN, container_options=first),
        "fragments": lambda: video_of_kind("fragmented mp4"),
        "avi": lambda: video_of_kind("avi with B-frames, whose times are wrong"),
        "mkv": lambda: video_of_kind("mkv with B-frames"),
        "mpeg4 avi": lambda: video_of_kind("mpeg4 avi"),
    }[kind]()
    path = tmp_path / f"cut{whole.suffix}"
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    with (
        open_video(whole) as complete,
        open_video(path, thread_count=thread_count) as cut,
    ):
        assert cut.info.has_broken_tail
        assert 40 < cut.info.frame_count < FRAME_COUNT
        frames = list(cut.frames())
        for index in range(cut.info.frame_count):
            assert np.array_equal(frames[index], complete.read(index))
            assert np.array_equal(cut.read(index), frames[index])


def test_a_damaged_frame_is_named_and_the_others_stay_readable(
    video_of_kind: VideoOfKind, tmp_path: Path
) -> None:
    whole = video_of_kind("motion jpeg avi")
    content = bytearray(whole.read_bytes())
    starts = [
        place for place in range(len(content) - 3) if content[place : place + 3] == b"\xff\xd8\xff"
    ]
    content[starts[40] : starts[41] - 8] = bytes(starts[41] - 8 - starts[40])
    path = tmp_path / "damaged.avi"
    path.write_bytes(bytes(content))
    with open_video(path) as damaged, open_video(whole) as complete:
        with pytest.raises(DataLoss) as refused:
            damaged.read(40)
        assert refused.value.reason == "FRAME_UNREADABLE"
        assert refused.value.metadata["frame_index"] == "40"
        for index in (39, 41, 89):
            assert np.array_equal(damaged.read(index), complete.read(index))


@pytest.mark.parametrize(
    ("kind", "thread_count"),
    [
        ("mp4 with B-frames", 1),
        ("mp4 with B-frames", 3),
        ("mkv with B-frames", 1),
        ("avi with B-frames, whose times are wrong", 1),
        ("mpeg4 avi", 1),
    ],
)
def test_damage_costs_frames_up_to_the_next_keyframe_and_gives_no_wrong_one(
    kind: str, thread_count: int, video_of_kind: VideoOfKind, tmp_path: Path
) -> None:
    whole = video_of_kind(kind)
    damaged = tmp_path / whole.name
    damaged.write_bytes(_with_holes(whole, near_packets=(40, 62)))
    with open_video(whole) as complete, open_video(damaged, thread_count=thread_count) as reader:
        assert reader.info.frame_count == FRAME_COUNT
        expected = list(complete.frames())
        in_order = [_read(reader, index) for index in range(FRAME_COUNT)]
        at_random = {
            index: _read(reader, index)
            for index in np.random.default_rng(6).permutation(FRAME_COUNT).tolist()
        }
    lost = [index for index, frame_HWC in enumerate(in_order) if frame_HWC is None]
    assert 2 <= len(lost) <= 24
    assert all(36 <= index < 48 or 60 <= index < 72 for index in lost)
    for index in range(FRAME_COUNT):
        assert (in_order[index] is None) == (at_random[index] is None)
        if in_order[index] is not None:
            assert np.array_equal(in_order[index], expected[index])
            assert np.array_equal(at_random[index], expected[index])


@pytest.mark.parametrize("thread_count", [1, 4])
@pytest.mark.parametrize("near_packets", [(20, 30, 50, 70), (83,)])
@pytest.mark.parametrize(
    "kind", ["avi with B-frames, whose times are wrong", "mpeg4 avi with B-frames"]
)
def test_damage_shifts_no_frame_where_the_order_is_learnt_by_decoding(
    kind: str,
    near_packets: Sequence[int],
    thread_count: int,
    video_of_kind: VideoOfKind,
    tmp_path: Path,
) -> None:
    whole = video_of_kind(kind)
    damaged = tmp_path / whole.name
    damaged.write_bytes(_with_holes(whole, near_packets=near_packets))
    with open_video(whole) as complete, open_video(damaged, thread_count=thread_count) as reader:
        assert reader.info.frame_count == FRAME_COUNT
        frames = [_read(reader, index) for index in range(FRAME_COUNT)]
        readable = [index for index in range(FRAME_COUNT) if frames[index] is not None]
        assert 50 < len(readable) < FRAME_COUNT
        assert all(np.array_equal(frames[index], complete.read(index)) for index in readable)


def _with_holes(video: Path, *, near_packets: Sequence[int]) -> bytes:
    """Returns the bytes with nothing in the first half of the largest of six packets."""
    source = PacketSource(video, thread_count=1)
    positions_P = source.table.positions_P
    source.close()
    content = bytearray(video.read_bytes())
    for near in near_packets:
        packet = max(range(near, near + 6), key=lambda p: positions_P[p + 1] - positions_P[p])
        start, stop = positions_P[packet : packet + 2].tolist()
        # A chunk's head remains.
        first, end = start + 10, (start + stop) // 2
        content[first:end] = bytes(end - first)
    return bytes(content)


def _read(reader: VideoReader, frame_index: int) -> NDArray[np.uint8] | None:
    try:
        return reader.read(frame_index)
    except DataLoss:
        return None


def test_a_long_damaged_group_is_decoded_once_and_not_once_a_frame(
    video_of_kind: VideoOfKind, tmp_path: Path
) -> None:
    whole = video_of_kind("one long group")
    path = tmp_path / "long.mp4"
    path.write_bytes(_with_holes(whole, near_packets=(25,)))
    source = CountingSource(path, thread_count=1)
    index = PacketIndex.from_order(source.table, presentation_order(source.table))
    decoder = FrameDecoder(source, index)
    lost = 0
    for frame_index in range(FRAME_COUNT):
        try:
            decoder.frame(frame_index)
        except DataLoss:
            lost += 1
    assert 50 <= lost <= 70
    assert source.start_count <= 2
    source.close()


def test_at_least_one_thread_is_needed(plain_video: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        open_video(plain_video, thread_count=0)
    assert refused.value.reason == "THREADS_OUT_OF_RANGE"

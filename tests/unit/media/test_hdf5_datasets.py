"""Datasets are found and named; embedded frames keep the numbers of their video."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import sleap_io

from shoal_core.errors import InvalidArgument, NotFound, OutOfRange
from shoal_core.video_path import split_dataset
from shoal_media.readers import open_video

from .stacks import gray_FHW, rgb_FHWC, write_hdf5, write_package


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a/b.h5", ("a/b.h5", None)),
        ("a/b.h5#video", ("a/b.h5", "video")),
        ("/x#y/b.HDF5#session/frames", ("/x#y/b.HDF5", "session/frames")),
        ("a.pkg.slp#video0/video", ("a.pkg.slp", "video0/video")),
        ("run#3.mp4", ("run#3.mp4", None)),
    ],
)
def test_a_dataset_is_named_after_the_file(path: str, parts: tuple[str, str | None]) -> None:
    assert split_dataset(path) == parts


@pytest.fixture
def two_videos(tmp_path: Path) -> Path:
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["left"], file["group/right"] = gray_FHW(), rgb_FHWC()
        file["mask"] = np.zeros((20, 30, 3), np.uint8)
        file["poses"] = np.zeros((20, 2, 13, 2))
    return path


def test_one_of_several_datasets_must_be_named(two_videos: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        open_video(two_videos)
    assert refused.value.reason == "DATASET_AMBIGUOUS"
    assert f"{two_videos}#group/right" in refused.value.message
    with open_video(f"{two_videos}#left") as left, open_video(f"{two_videos}#group/right") as right:
        assert np.array_equal(left.read(3)[..., 0], gray_FHW()[3])
        assert np.array_equal(right.read(3), rgb_FHWC()[3])
        assert left.info.path == Path(f"{two_videos}#left")
        assert left.info.content_hash != right.info.content_hash


def test_a_dataset_has_one_hash_however_it_was_found(tmp_path: Path) -> None:
    path = write_hdf5()(tmp_path, gray_FHW())
    with open_video(path) as found, open_video(f"{path}#session/frames") as named:
        assert found.info.content_hash == named.info.content_hash


@pytest.mark.parametrize(
    ("dataset", "kind", "reason"),
    [
        ("none", NotFound, "DATASET_NOT_FOUND"),
        ("group", InvalidArgument, "VIDEO_UNREADABLE"),
        ("mask", InvalidArgument, "VIDEO_UNREADABLE"),
        ("poses", InvalidArgument, "VIDEO_UNREADABLE"),
    ],
)
def test_what_is_no_video_is_refused(
    two_videos: Path, dataset: str, kind: type, reason: str
) -> None:
    with pytest.raises(kind) as refused:
        open_video(f"{two_videos}#{dataset}")
    assert refused.value.reason == reason
    assert "\n" not in refused.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refused:
        open_video(tmp_path / "none.h5#frames")
    assert refused.value.reason == "VIDEO_NOT_FOUND"


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"no HDF5")])
def test_a_dataset_of_what_is_no_hdf5_file_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / "other.h5")
    with pytest.raises(InvalidArgument) as refused:
        open_video(tmp_path / "other.h5#frames")
    assert refused.value.reason == "VIDEO_UNREADABLE"


def test_a_cut_file_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = write_hdf5()(tmp_path, gray_FHW())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert refused.value.reason == "VIDEO_UNREADABLE"


NUMBERS = (12, 3, 40)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(
        tmp_path / "flies.pkg.slp", {number: gray_FHW()[number % 24] for number in NUMBERS}
    )


def test_embedded_frames_keep_the_numbers_of_their_video(package: Path) -> None:
    with open_video(package) as reader:
        assert reader.info.frame_count == 41
        assert reader.info.keyframe_indices_K.tolist() == sorted(NUMBERS)
        for index in np.random.default_rng(3).choice(NUMBERS, 1000).tolist():
            assert np.array_equal(reader.read(index)[..., 0], gray_FHW()[index % 24])


def test_a_frame_that_is_not_embedded_is_refused_with_the_cure(package: Path) -> None:
    with open_video(package) as reader, pytest.raises(OutOfRange) as refused:
        reader.read(4)
    assert refused.value.reason == "FRAME_NOT_EMBEDDED"
    assert "flies.mp4" in refused.value.message


@pytest.mark.parametrize(
    ("format_id", "channel_order"), [(1.2, ""), (1.4, ""), (1.4, "BGR"), (1.9, "RGB"), (1.2, "RGB")]
)
def test_the_order_of_channels_is_that_of_sleap_io(
    tmp_path: Path, format_id: float, channel_order: str
) -> None:
    frames = {number: rgb_FHWC()[number] for number in (2, 7)}
    path = write_package(
        tmp_path / "c.pkg.slp", frames, format_id=format_id, channel_order=channel_order
    )
    video = sleap_io.Video.from_filename(str(path), dataset="video0/video")
    with open_video(path) as reader:
        for index in frames:
            assert np.array_equal(reader.read(index), video[index])


def test_padded_rows_are_read_like_byte_strings(tmp_path: Path) -> None:
    encoded = [cv2.imencode(".png", frame)[1] for frame in gray_FHW()]
    rows = np.zeros((len(encoded), max(map(len, encoded))), np.int8)
    for row, image in zip(rows, encoded, strict=True):
        row[: len(image)] = image.view(np.int8)
    path = tmp_path / "fixed.pkg.slp"
    with h5py.File(path, "w") as file:
        file["video0/video"] = rows
        file["video0/video"].attrs["format"] = "png"
    with open_video(path) as reader:
        assert np.array_equal([frame[..., 0] for frame in reader.frames()], gray_FHW())


def test_labels_without_images_are_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "labels.slp"
    with h5py.File(path, "w") as file:
        file["videos_json"] = [b"{}"]
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert "pkg.slp" in refused.value.message


def test_a_package_of_sleap_is_read_as_sleap_io_reads_it(shared_data: Path) -> None:
    path = shared_data / "pair" / "minimal_instance.pkg.slp"
    video = sleap_io.Video.from_filename(str(path), dataset="video0/video")
    with open_video(path) as reader:
        assert reader.info.frame_count == 1
        assert reader.info.is_gray
        assert np.array_equal(reader.read(0), video[0])

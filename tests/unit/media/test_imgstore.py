"""Laws of imgstores; the pixels of stores of images are tested with the other stacks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from shoal_core.errors import DataLoss, InvalidArgument, OutOfRange
from shoal_media.readers import open_video

from .camera_files import CHUNK_FRAMES, write_chunk_index, write_image_store, write_store_metadata
from .stacks import FRAME_COUNT, gray_FHW, rgb_FHWC
from .videos import decoded_in_order, encode

SKIPPING = [number if number < 13 else number + 5 for number in range(FRAME_COUNT)]


def write_video_store(folder: Path, *, chunk_count: int = 6, **store: object) -> Path:
    """Six chunks (four stay open) of 90 frames with other pixels each."""
    path = folder / "videos"
    path.mkdir()
    entries = {"class": "VideoImgStoreFFMPEG", "format": "libx264-0/mp4", "extension": ".mp4"}
    write_store_metadata(path, gray_FHW(), **entries | store)
    for chunk in range(chunk_count):
        encode(
            path / f"{chunk:06d}.mp4",
            frame=lambda index, chunk=chunk: np.roll(gray_FHW()[index % 24], 5 * chunk, 0)[
                ..., np.newaxis
            ].repeat(3, 2),
        )
        write_chunk_index(path / f"{chunk:06d}.npz", range(90 * chunk, 90 * chunk + 90))
    return path


def test_a_frame_index_is_the_number_that_the_camera_gave(tmp_path: Path) -> None:
    store = write_image_store(".png", numbers=SKIPPING)(tmp_path, gray_FHW())
    with open_video(store) as reader:
        assert reader.info.frame_count == SKIPPING[-1] + 1
        assert reader.info.keyframe_indices_K.tolist() == SKIPPING
        assert reader.info.missing_frame_count == 0
        assert reader.info.fps == 25
        for place, number in enumerate(SKIPPING):
            assert np.array_equal(reader.read(number)[..., 0], gray_FHW()[place])
            assert reader.time_ms(number) == pytest.approx(40 * number, abs=1e-3)
        with pytest.raises(OutOfRange) as refused:
            reader.read(14)
        assert refused.value.reason == "FRAME_NOT_STORED"


def test_a_store_is_its_folder_or_its_metadata(tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    with open_video(store) as by_folder, open_video(store / "metadata.yaml") as by_file:
        assert by_folder.info.content_hash == by_file.info.content_hash
        assert np.array_equal(by_folder.read(7), by_file.read(7))


def test_a_folder_of_images_may_hold_other_metadata(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), gray_FHW()[0])
    (tmp_path / "metadata.yaml").write_text("camera: top")
    with open_video(tmp_path) as reader:
        assert reader.info.frame_count == 1


@pytest.mark.parametrize("thread_count", [1, 2])
def test_chunks_of_video_give_what_their_decoder_gives(thread_count: int, tmp_path: Path) -> None:
    store = write_video_store(tmp_path)
    truth = [
        frame_HWC[..., :1]
        for chunk in range(6)
        for frame_HWC in decoded_in_order(store / f"{chunk:06d}.mp4")
    ]
    with open_video(store, thread_count=thread_count) as reader:
        assert reader.info.frame_count == len(truth) == 540
        for index in np.random.default_rng(5).integers(0, 540, 60).tolist():
            assert np.array_equal(reader.read(index), truth[index])


def test_a_cut_last_chunk_loses_its_end_only(tmp_path: Path) -> None:
    store = write_video_store(tmp_path, chunk_count=2, extension=".mkv")
    for chunk in range(2):
        encode(store / f"{chunk:06d}.mkv")
    last = store / "000001.mkv"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with open_video(store) as reader:
        assert 100 < reader.info.frame_count < 180
        assert reader.info.missing_frame_count == 180 - reader.info.frame_count
        assert len(list(reader.frames())) == reader.info.frame_count


def test_a_last_chunk_that_cannot_be_opened_is_lost(tmp_path: Path) -> None:
    store = write_video_store(tmp_path, chunk_count=2)
    last = store / "000001.mp4"
    last.write_bytes(last.read_bytes()[:2000])
    with open_video(store) as reader:
        assert (reader.info.frame_count, reader.info.missing_frame_count) == (90, 90)


def test_a_chunk_without_index_is_a_loss_of_unknown_size(tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    (store / "000002" / "index.npz").unlink()
    with open_video(store) as reader:
        assert reader.info.frame_count == 2 * CHUNK_FRAMES
        assert reader.info.missing_frame_count is None


def test_a_last_chunk_whose_index_is_cut_off_is_a_loss_of_unknown_size(tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    index = store / "000002" / "index.npz"
    index.write_bytes(index.read_bytes()[:100])
    with open_video(store) as reader:
        assert reader.info.frame_count == 2 * CHUNK_FRAMES
        assert reader.info.missing_frame_count is None


def test_a_picture_of_another_kind_is_unreadable_and_named(tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    metadata = store / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("encoding: null", "encoding: cv_bayerbg"))
    colour = np.zeros((*gray_FHW().shape[1:], 3), np.uint8)
    assert cv2.imwrite(str(store / "000000" / "000001.png"), colour)
    with open_video(store) as reader, pytest.raises(DataLoss) as caught:
        reader.read(1)
    assert caught.value.reason == "FRAME_UNREADABLE"


def test_an_index_may_be_yaml(tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    (store / "000001" / "index.npz").unlink()
    columns = {"frame_number": list(range(10, 20)), "frame_time": [0.4] * 10}
    (store / "000001" / "index.yaml").write_text(yaml.safe_dump(columns))
    with open_video(store) as reader:
        assert reader.info.frame_count == FRAME_COUNT
        assert np.array_equal(reader.read(15)[..., 0], gray_FHW()[15])


def test_a_missing_image_is_named_and_the_others_stay_readable(tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    missing = store / "000001" / "000003.png"
    missing.unlink()
    with open_video(store) as reader:
        with pytest.raises(DataLoss, match=str(missing)):
            reader.read(13)
        assert np.array_equal(reader.read(14)[..., 0], gray_FHW()[14])


def test_a_bayer_pattern_becomes_colour(tmp_path: Path) -> None:
    rgb = rgb_FHWC()
    mosaic = rgb[..., 1].copy()
    mosaic[:, 0::2, 0::2] = rgb[:, 0::2, 0::2, 0]
    mosaic[:, 1::2, 1::2] = rgb[:, 1::2, 1::2, 2]
    store = write_image_store(".png")(tmp_path, mosaic)
    entries = {"class": "DirectoryImgStore", "format": "png", "encoding": "cv_bayerbg"}
    write_store_metadata(store, mosaic, **entries)
    with open_video(store) as reader:
        expected_HWC = cv2.cvtColor(mosaic[4], cv2.COLOR_BAYER_BG2RGB)
        assert reader.channels == 3
        assert np.array_equal(reader.read(4), expected_HWC)


def test_frames_before_the_synchronised_one_have_no_index(tmp_path: Path) -> None:
    numbers = range(-4, FRAME_COUNT - 4)
    store = write_image_store(".png", numbers=numbers)(tmp_path, gray_FHW())
    with open_video(store) as reader:
        assert reader.info.frame_count == FRAME_COUNT - 4
        assert np.array_equal(reader.read(0)[..., 0], gray_FHW()[4])


def test_a_number_that_stands_for_two_frames_is_refused(tmp_path: Path) -> None:
    numbers = [*range(12), *range(12)]
    store = write_image_store(".png", numbers=numbers)(tmp_path, gray_FHW())
    with pytest.raises(InvalidArgument, match="frame numbers more than once"):
        open_video(store)


@pytest.mark.parametrize(
    "damage",
    [
        lambda store: (store / "metadata.yaml").write_text("__store: [1"),
        lambda store: (store / "metadata.yaml").write_text("__store: {class: DirectoryImgStore}"),
        lambda store: (store / "000000" / "index.npz").write_bytes(b"PK\3\4 nothing"),
        lambda store: [path.unlink() for path in store.glob("*/index.npz")],
        lambda store: [write_chunk_index(path, range(-9, 0)) for path in store.glob("*/index.npz")],
        lambda store: [path.unlink() for path in store.glob("*/*.png")],
        lambda store: write_store_metadata(
            store, gray_FHW(), **{"class": "DirectoryImgStore", "format": "bpk"}
        ),
        lambda store: write_store_metadata(
            store, gray_FHW(), **{"class": "DirectoryImgStore", "format": "png", "encoding": "x"}
        ),
    ],
    ids=[
        "yaml",
        "keys",
        "index",
        "no index",
        "all before the start",
        "no images",
        "format",
        "encoding",
    ],
)
def test_a_damaged_store_is_refused_in_one_line(damage: object, tmp_path: Path) -> None:
    store = write_image_store(".png")(tmp_path, gray_FHW())
    damage(store)  # type: ignore[operator]  # each is a function of the store's folder
    with pytest.raises(InvalidArgument) as refused:
        open_video(store)
    assert str(store) in refused.value.message
    assert "\n" not in refused.value.message

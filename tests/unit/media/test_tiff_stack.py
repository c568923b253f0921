"""What is particular to TIFF: cut files, pages that differ, pixels that are not shown."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from shoal_core.errors import DataLoss, InvalidArgument
from shoal_media.readers import open_video

from .stacks import FRAME_COUNT, WRITERS, gray_FHW, rgb_FHWC, write_tiff


@pytest.mark.parametrize("writer", [name for name in WRITERS if name.startswith("tiff")])
def test_the_readable_part_of_a_cut_stack_is_usable(writer: str, tmp_path: Path) -> None:
    path = WRITERS[writer](tmp_path, gray_FHW())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    with open_video(path) as reader:
        count = reader.info.frame_count
        assert 10 < count < FRAME_COUNT
        assert reader.info.has_broken_tail
        assert reader.info.missing_frame_count in (None, FRAME_COUNT - count)
        assert np.array_equal([frame[..., 0] for frame in reader.frames()], gray_FHW()[:count])


def test_a_stack_cut_inside_its_first_page_is_refused(tmp_path: Path) -> None:
    path = write_tiff()(tmp_path, gray_FHW())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert refused.value.reason == "VIDEO_UNREADABLE"
    assert str(path) in refused.value.message


def test_a_damaged_page_is_named_and_the_others_stay_readable(tmp_path: Path) -> None:
    path = write_tiff(compression="zlib")(tmp_path, gray_FHW())
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[5].dataoffsets[0], tiff.pages[5].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(bytes(content))
    with open_video(path) as reader:
        with pytest.raises(DataLoss) as refused:
            reader.read(5)
        assert "page 5" in refused.value.message
        assert np.array_equal(reader.read(6)[..., 0], gray_FHW()[6])


def test_a_page_of_another_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        for index, page in enumerate(gray_FHW()):
            writer.write(page[:40] if index == 7 else page, contiguous=False, metadata=None)
    with open_video(path) as reader, pytest.raises(DataLoss) as refused:
        reader.read(7)
    assert "page 7" in refused.value.message


@pytest.mark.parametrize(
    ("stack", "options"),
    [
        (gray_FHW().astype(np.float32), {}),
        (gray_FHW().astype(np.uint32), {}),
        (gray_FHW(), {"photometric": "miniswhite"}),
        (gray_FHW(), {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}),
    ],
    ids=["float", "32 bits", "inverted", "palette"],
)
def test_pixels_that_are_neither_gray_nor_rgb_are_refused(
    tmp_path: Path, stack: np.ndarray, options: dict[str, object]
) -> None:
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, stack, **{"photometric": "minisblack", **options})
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert refused.value.reason == "VIDEO_UNREADABLE"


def test_planes_and_alpha_are_read_as_rgb(tmp_path: Path) -> None:
    rgb = rgb_FHWC()
    planes = tmp_path / "planes.tif"
    tifffile.imwrite(planes, np.moveaxis(rgb, -1, 1), photometric="rgb", planarconfig="separate")
    alpha = tmp_path / "alpha.tif"
    opaque = np.full((*rgb.shape[:3], 1), 255, np.uint8)
    tifffile.imwrite(alpha, np.concatenate([rgb, opaque], -1), photometric="rgb")
    for path in (planes, alpha):
        with open_video(path) as reader:
            assert np.array_equal(list(reader.frames()), rgb)


def test_a_codec_that_is_missing_is_named_with_the_cure(tmp_path: Path) -> None:
    if importlib.util.find_spec("imagecodecs"):
        pytest.skip("imagecodecs is installed: no codec is missing")
    path = tmp_path / "lzw.tif"
    cv2.imwritemulti(str(path), list(gray_FHW()))
    with pytest.raises(InvalidArgument) as refused:
        open_video(path)
    assert "LZW" in refused.value.message
    assert "deflated" in refused.value.message

"""Offsets beyond 4 GiB, in files that are empty in between and so take no room."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from shoal_media.readers import open_video

from .camera_files import seq_header
from .videos import scene

SIDE_PX = 64
FRAME_BYTES = SIDE_PX * SIDE_PX
FIVE_GIB = 5 << 30


def square(index: int) -> np.ndarray:
    return scene(index, width=SIDE_PX, height=SIDE_PX)[..., 0]


def test_a_sequence_of_more_than_four_gib_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.seq"
    stride = 8192 * 4
    count = FIVE_GIB // stride
    header = seq_header(
        version=5,
        size_px=(SIDE_PX, SIDE_PX),
        bits=8,
        image_bytes=FRAME_BYTES,
        image_format=100,
        count=count,
        stride=stride,
    )
    marked = {0: square(0), count // 2: square(1), count - 1: square(2)}
    with path.open("wb") as file:
        file.write(header)
        for index, frame in marked.items():
            file.seek(8192 + index * stride)
            file.write(frame.tobytes())
        file.truncate(8192 + count * stride)
    with open_video(path) as reader:
        assert reader.info.frame_count == count > 160_000
        assert reader.info.missing_frame_count == 0
        for index in (count - 1, 0, count // 2, count - 1):
            assert np.array_equal(reader.read(index)[..., 0], marked[index])
        assert not reader.read(count - 2).any()


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_stack_of_more_than_four_gib_is_read_to_its_end(byteorder: str, tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with tifffile.TiffWriter(path, bigtiff=True, byteorder=byteorder) as writer:
        for index in range(3):
            if index:
                # The next page lies two GiB and a half behind: a hole.
                writer.filehandle.seek(index * (FIVE_GIB // 2))
            writer.write(square(index), contiguous=False, metadata=None)
    assert path.stat().st_size > FIVE_GIB
    with open_video(path) as reader:
        for index in (2, 0, 1):
            assert np.array_equal(reader.read(index)[..., 0], square(index))

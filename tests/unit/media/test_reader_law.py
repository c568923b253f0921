"""The law of every reader: whatever is read in whatever order is what the order gives.

1,000 random reads, reading backwards, and two readers at once equal the sequential frames, bit
for bit.
"""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shoal_media.readers import VideoReader, open_video

from .camera_files import write_image_store, write_seq, write_seq_of_files
from .stacks import deep_FHW, gray_FHW, rgb_FHWC, write_package
from .test_imgstore import SKIPPING, write_video_store
from .test_real_recordings import RECORDINGS
from .videos import KINDS

READERS: dict[str, Callable[[Path], Path]] = {
    "imgstore of videos": lambda folder: write_video_store(folder, chunk_count=2),
    "imgstore with gaps": lambda folder: write_image_store(".png", numbers=SKIPPING)(
        folder, rgb_FHWC()
    ),
    "norpix, 16 bits": lambda folder: write_seq(5)(folder, deep_FHW()),
    "norpix, jpeg": lambda folder: write_seq_of_files(".jpg", version=4)(folder, gray_FHW()),
    "package of embedded frames": lambda folder: write_package(
        folder / "some.pkg.slp", {7 * index: frame for index, frame in enumerate(rgb_FHWC())}
    ),
}
"""Those that no other test reads at random so often; the rest are in `test_stacks`."""


_BACKWARD_FRAMES = 100


def check_law(path: Path, *, random_read_count: int, stop: int | None = None) -> None:
    with open_video(path) as reader, open_video(path) as other:
        indices = reader.info.frames_between(0, stop or reader.info.frame_count)
        sums = {index: zlib.crc32(reader.read(index)) for index in indices}
        # Backwards, each frame costs its group up to there.
        for index in reversed(indices[-_BACKWARD_FRAMES:]):
            assert zlib.crc32(reader.read(index)) == sums[index]
        wrong = [
            index
            for turn, index in enumerate(_random(indices, random_read_count))
            if zlib.crc32(_turns(reader, other, turn).read(index)) != sums[index]
        ]
        assert wrong == []


def _random(indices: "range | list[int]", count: int) -> list[int]:
    return np.random.default_rng(17).choice(np.asarray(indices), count).tolist()


def _turns(reader: VideoReader, other: VideoReader, turn: int) -> VideoReader:
    """Two readers of one file take turns, three reads each."""
    return reader if turn // 3 % 2 else other


@pytest.mark.parametrize("name", READERS)
def test_the_law_holds_for_stores_sequences_and_packages(name: str, tmp_path: Path) -> None:
    check_law(READERS[name](tmp_path), random_read_count=1000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_law_holds_for_containers(kind: str, video_of_kind: Callable[[str], Path]) -> None:
    check_law(video_of_kind(kind), random_read_count=1000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_law_holds_for_real_recordings(name: str, shared_data: Path) -> None:
    check_law(shared_data / name, random_read_count=1000)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_law_holds_for_the_beginning_of_real_recordings(name: str, shared_data: Path) -> None:
    check_law(shared_data / name, random_read_count=20, stop=12)

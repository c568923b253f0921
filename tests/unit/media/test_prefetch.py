"""Decoding ahead: right frames, right buffers, bounded, and errors in their place."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_core.errors import OutOfRange
from shoal_media.prefetch import Prefetcher, fill
from shoal_media.readers import VideoReader, open_video

from .videos import FRAME_COUNT


@dataclass(eq=False)
class Slot:
    pixels_BHWC: NDArray[np.uint8]


def new_slot(frame_range: range) -> Slot:
    return Slot(np.zeros((len(frame_range), 64, 96, 1), np.uint8))


def batches(stop: int, size: int = 8) -> list[range]:
    return [range(start, min(start + size, stop)) for start in range(0, stop, size)]


@pytest.fixture
def reader(plain_video: Path) -> Iterator[VideoReader]:
    with open_video(plain_video) as opened:
        yield opened


def test_buffers_hold_the_frames_of_their_range(reader: VideoReader, plain_video: Path) -> None:
    seen = []
    with (
        Prefetcher(reader, batches(FRAME_COUNT), new_slot) as prefetcher,
        open_video(plain_video) as truth,
    ):
        for frame_range, slot in prefetcher:
            for place, index in enumerate(frame_range):
                assert np.array_equal(slot.pixels_BHWC[place], truth.read(index))
                seen.append(index)
    assert seen == list(range(FRAME_COUNT))


def test_a_part_of_a_buffer_may_be_filled(reader: VideoReader) -> None:
    slot = new_slot(range(4))
    fill(reader, range(10, 12), slot)
    assert np.array_equal(slot.pixels_BHWC[1], reader.read(11))
    assert not slot.pixels_BHWC[2:].any()


def test_no_more_buffers_are_taken_than_may_wait(reader: VideoReader) -> None:
    """Two wait, one is in the consumer's hand, one is being filled."""
    free = Semaphore(4)
    held = 0

    def acquire(frame_range: range) -> Slot:
        assert free.acquire(blocking=False)
        return new_slot(frame_range)

    with Prefetcher(reader, batches(FRAME_COUNT), acquire, depth=2) as prefetcher:
        for _, _slot in prefetcher:
            held += 1
            free.release()
    assert held == len(batches(FRAME_COUNT))


def test_an_error_comes_after_the_frames_before_it(reader: VideoReader) -> None:
    ranges = [range(0, 2), range(2, 4), range(FRAME_COUNT, FRAME_COUNT + 1)]
    with Prefetcher(reader, ranges, new_slot) as prefetcher:
        assert [next(prefetcher)[0], next(prefetcher)[0]] == ranges[:2]
        with pytest.raises(OutOfRange):
            next(prefetcher)
        with pytest.raises(StopIteration):
            next(prefetcher)


def test_no_buffer_ends_the_iteration(reader: VideoReader) -> None:
    slots = iter([new_slot(range(8)), None])
    with Prefetcher(reader, batches(FRAME_COUNT), lambda _: next(slots)) as prefetcher:
        assert len(list(prefetcher)) == 1


def test_closing_early_gives_the_waiting_buffers_back(reader: VideoReader) -> None:
    taken: list[Slot] = []

    def acquire(frame_range: range) -> Slot:
        taken.append(new_slot(frame_range))
        return taken[-1]

    prefetcher = Prefetcher(reader, batches(FRAME_COUNT), acquire, depth=3)
    _, first = next(prefetcher)
    left = prefetcher.close()
    assert [first, *left] == taken
    assert reader.read(0).any()

"""Laws of a session's own slots: pixels stay whole, and where there is no room they travel."""

import errno
import os
import threading

import numpy as np
import pytest

from shoal_common.inference.client import SharedFrames
from shoal_tracking.slots import FrameSlots

SHAPE = (6, 8, 1)


def frame(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def pixels(placed: object) -> np.ndarray:
    return placed.pixels_BHWC if isinstance(placed, SharedFrames) else placed  # type: ignore[return-value]


def test_placed_frame_is_the_frame() -> None:
    slots = FrameSlots(3)
    placed = [slots.place(frame(seed)) for seed in range(3)]
    for seed, shared in enumerate(placed):
        assert isinstance(shared, SharedFrames)
        np.testing.assert_array_equal(shared.pixels_BHWC, frame(seed)[None])
    slots.close()


def test_released_slots_are_used_again_without_end() -> None:
    slots = FrameSlots(2)
    rings = set()
    for seed in range(20):
        placed = slots.place(frame(seed))
        assert isinstance(placed, SharedFrames)
        rings.add(placed.ring.name)
        slots.release(placed)
    assert len(rings) == 1
    slots.close()


@pytest.mark.parametrize("other", [(6, 8, 3), (3, 8, 1), (12, 8, 1)])
def test_frame_of_another_size_stays_where_it_is(other: tuple[int, int, int]) -> None:
    slots = FrameSlots(1)
    slots.release(slots.place(frame(0)))
    placed = slots.place(frame(1, other))
    assert not isinstance(placed, SharedFrames)
    np.testing.assert_array_equal(placed, frame(1, other)[None])
    slots.release(placed)
    assert isinstance(slots.place(frame(2)), SharedFrames)
    slots.close()


def test_frame_of_equal_bytes_and_another_shape_keeps_its_shape() -> None:
    slots = FrameSlots(1)
    slots.release(slots.place(frame(0)))
    np.testing.assert_array_equal(
        pixels(slots.place(frame(1, (8, 6, 1)))), frame(1, (8, 6, 1))[None]
    )
    slots.close()


def test_frames_stay_where_they_are_when_shared_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    slots = FrameSlots(2)
    for seed in range(3):
        np.testing.assert_array_equal(pixels(slots.place(frame(seed))), frame(seed)[None])
    assert slots.close() is None


def test_closed_slots_leave_no_memory_and_make_none() -> None:
    slots = FrameSlots(2)
    held = slots.place(frame(0))
    ring = slots.close()
    assert ring is not None
    assert ring.name.lstrip("/") not in os.listdir("/dev/shm")
    slots.release(held)
    assert not isinstance(slots.place(frame(1)), SharedFrames)
    assert slots.close() is None


def test_threads_that_come_first_share_one_ring() -> None:
    slots = FrameSlots(8)
    placed: list[object] = []
    start = threading.Barrier(8)

    def place(seed: int) -> None:
        start.wait()
        placed.append(slots.place(frame(seed)))

    threads = [threading.Thread(target=place, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({shared.ring.name for shared in placed if isinstance(shared, SharedFrames)}) == 1
    seen = {pixels(shared).tobytes() for shared in placed}
    assert seen == {frame(seed).tobytes() for seed in range(8)}
    slots.close()

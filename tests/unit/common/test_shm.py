import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_common.shm import FrameRegion, FrameRing, Slots
from shoal_core.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)

SHAPE = (4, 6, 1)
SLOT_BYTES = 24


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    ring = FrameRing.create(8, SLOT_BYTES)
    yield ring
    ring.close()


def region_file(name: str) -> Path:
    return Path("/dev/shm") / name.lstrip("/")


def test_a_region_is_readable_by_its_user_only_and_gone_after_close() -> None:
    ring = FrameRing.create(2, SLOT_BYTES)
    path = region_file(ring.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ring.close()
    assert not path.exists()
    ring.close()


def test_a_run_of_slots_is_one_contiguous_array(ring: FrameRing) -> None:
    ring.acquire(3)
    run = ring.acquire(4)
    view = ring.view(run, SHAPE)
    assert view.shape == (4, *SHAPE)
    assert view.flags.c_contiguous
    assert ring.offset_bytes(run) == 3 * SLOT_BYTES


def test_what_the_owner_writes_another_mapping_reads(ring: FrameRing) -> None:
    run = ring.acquire(2)
    frames = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    ring.view(run, SHAPE)[:] = frames
    region = FrameRegion.attach(ring.name)
    for index in range(2):
        offset = ring.offset_bytes(run) + index * SLOT_BYTES
        copy = region.copy(offset, SHAPE, run.generations[index])
        np.testing.assert_array_equal(copy, frames[index])


def test_a_reader_is_told_that_its_frame_was_overwritten(ring: FrameRing) -> None:
    region = FrameRegion.attach(ring.name)
    first = ring.acquire(8)
    ring.release(first)
    ring.acquire(8)
    with pytest.raises(FailedPrecondition) as caught:
        region.copy(0, SHAPE, first.generations[0])
    assert caught.value.reason == "FRAME_OVERWRITTEN"


@pytest.mark.parametrize(
    ("offset", "shape"),
    [(1, SHAPE), (8 * SLOT_BYTES, SHAPE), (0, (5, 6, 1)), (-SLOT_BYTES, SHAPE), (0, (4, -6, -1))],
)
def test_a_reader_cannot_leave_the_slots(
    ring: FrameRing, offset: int, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidArgument, match="not one of the region's"):
        FrameRegion.attach(ring.name).copy(offset, shape, 0)


def mapped(name: str) -> bool:
    """Whether this process has the region in its memory."""
    return f"/dev/shm{name}" in Path("/proc/self/maps").read_text()


def test_memory_of_a_closed_ring_goes_although_somebody_knows_the_ring() -> None:
    ring = FrameRing.create(1, SLOT_BYTES)
    slots = ring.acquire(1)
    view = ring.view(slots, SHAPE)
    ring.close()
    assert mapped(ring.name)
    del view
    assert not mapped(ring.name)
    with pytest.raises(Cancelled) as caught:
        ring.view(slots, SHAPE)
    assert caught.value.reason == "RING_CLOSED"
    ring.release(slots)


def test_a_view_outlives_the_ring() -> None:
    ring = FrameRing.create(1, SLOT_BYTES)
    view = ring.view(ring.acquire(1), SHAPE)
    view[:] = 7
    ring.close()
    del ring
    assert (view == 7).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 7)), max_size=60))
def test_no_two_holders_share_a_slot(steps: list[tuple[int, int]]) -> None:
    ring = FrameRing.create(8, 1)
    held: list[Slots] = []
    try:
        for count, release_at in steps:
            try:
                held.append(ring.acquire(count, timeout_s=0))
            except DeadlineExceeded:
                if held:
                    ring.release(held.pop(release_at % len(held)))
            taken = [slots.start + i for slots in held for i in range(slots.count)]
            assert len(taken) == len(set(taken))
            assert all(0 <= slot < 8 for slot in taken)
    finally:
        ring.close()


def test_a_full_ring_makes_writers_wait_until_a_release(ring: FrameRing) -> None:
    run = ring.acquire(8)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ring.acquire, 3, 30)
        assert not waiting.done()
        ring.release(run)
        assert waiting.result(30).count == 3


async def test_an_event_loop_waits_without_blocking(ring: FrameRing) -> None:
    run = ring.acquire(8)
    waiting = asyncio.create_task(ring.acquire_async(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    ring.release(run)
    assert (await waiting).count == 2


async def test_a_large_request_is_not_overtaken_by_small_ones(ring: FrameRing) -> None:
    first, second = ring.acquire(4), ring.acquire(4)
    large = asyncio.create_task(ring.acquire_async(8))
    small = asyncio.create_task(ring.acquire_async(1))
    await asyncio.sleep(0)
    ring.release(first)
    with pytest.raises(DeadlineExceeded):
        ring.acquire(1, timeout_s=0)
    ring.release(second)
    run = await large
    assert not small.done()
    ring.release(run)
    await small


async def test_a_writer_that_gives_up_leaves_its_place_to_the_next(ring: FrameRing) -> None:
    half = ring.acquire(4)
    large = asyncio.create_task(ring.acquire_async(8))
    small = asyncio.create_task(ring.acquire_async(2))
    await asyncio.sleep(0)
    large.cancel()
    await asyncio.wait([large])
    run = await small
    ring.release(half)
    ring.release(run)
    ring.release(ring.acquire(8, timeout_s=0))


async def test_slots_granted_to_a_cancelled_writer_are_free_again(ring: FrameRing) -> None:
    run = ring.acquire(8)
    waiting = asyncio.create_task(ring.acquire_async(8))
    await asyncio.sleep(0)
    ring.release(run)  # grants the slots, but the loop has not told the waiting task yet
    waiting.cancel()
    await asyncio.wait([waiting])
    ring.release(ring.acquire(8, timeout_s=0))


def test_closing_ends_all_waiting() -> None:
    ring = FrameRing.create(1, SLOT_BYTES)
    ring.acquire(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ring.acquire, 1, 30)
        while not ring._waiting:
            pass
        ring.close()
        with pytest.raises(Cancelled):
            waiting.result(30)


def test_slots_are_released_once(ring: FrameRing) -> None:
    run = ring.acquire(2)
    ring.release(run)
    with pytest.raises(InvalidArgument, match="release a run once"):
        ring.release(run)


def test_many_threads_never_see_each_others_pixels() -> None:
    ring = FrameRing.create(7, SLOT_BYTES)
    wrong: list[int] = []

    def write(value: int) -> None:
        for turn in range(200):
            run = ring.acquire(1 + (value + turn) % 3, timeout_s=60)
            view = ring.view(run, SHAPE)
            view[:] = value
            if not (view == value).all():
                wrong.append(value)
            ring.release(run)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring.close()
    assert wrong == []


def test_a_region_of_a_killed_owner_is_swept_and_one_of_a_living_owner_is_not() -> None:
    code = (
        "import sys\n"
        "from shoal_common.shm import FrameRing\n"
        "print(FrameRing.create(2, 24).name, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        path = region_file(owner.stdout.readline().strip())
        FrameRing.create(1, 1).close()
        assert path.exists()
        owner.kill()
    assert path.exists()
    FrameRing.create(1, 1).close()
    assert not path.exists()


def test_a_ring_larger_than_the_memory_is_refused_and_leaves_nothing() -> None:
    free = os.statvfs("/dev/shm")
    before = set(Path("/dev/shm").iterdir())
    with pytest.raises(ResourceExhausted) as caught:
        FrameRing.create(2, free.f_bavail * free.f_frsize)
    assert caught.value.reason == "SHARED_MEMORY_FULL"
    assert {p for p in Path("/dev/shm").iterdir() if p.name.startswith(own_prefix())} <= before


def own_prefix() -> str:
    return f"shoal-{os.getpid()}-"


@pytest.mark.parametrize(("count", "size"), [(0, 10), (10, 0), (-1, 10)])
def test_a_ring_has_slots_with_bytes(count: int, size: int) -> None:
    with pytest.raises(InvalidArgument, match="at least one byte"):
        FrameRing.create(count, size)


@pytest.mark.parametrize("count", [0, 9])
def test_a_run_fits_into_the_ring(ring: FrameRing, count: int) -> None:
    with pytest.raises(InvalidArgument, match="a ring that has 8"):
        ring.acquire(count)


@pytest.mark.parametrize("name", ["shoal", "/etc/passwd", "/shoal-1-../../etc/passwd", "/dev/null"])
def test_only_names_of_rings_are_attached(name: str) -> None:
    with pytest.raises(InvalidArgument, match="not a shared memory region of frames"):
        FrameRegion.attach(name)


def test_attaching_to_a_removed_region_says_so(ring: FrameRing) -> None:
    ring.close()
    with pytest.raises(NotFound) as caught:
        FrameRegion.attach(ring.name)
    assert caught.value.reason == "REGION_NOT_FOUND"

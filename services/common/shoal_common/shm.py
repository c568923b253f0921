"""Frames in shared memory: a ring of slots that one process owns and others read.

A region is a file in `/dev/shm`, readable by its owner's user only, laid out as

    slots, back to back | padding to 64 bytes | generations INT64 [slot_count] | trailer

so that a run of slots is one contiguous array, and the slots alone can be registered with an
inference engine as a system shared memory region. A slot's generation goes up whenever the slot
is handed out again; a reader that was promised one generation finds out when it came too late.

A region is removed by its owner, or by the next owner of a ring when its owner has died.
"""

import asyncio
import errno
import mmap
import os
import struct
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shoal_common.shm_files import (
    create_region,
    is_own_name,
    open_region,
    remove_region,
    sweep_dead_regions,
)
from shoal_core.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)

_TRAILER = struct.Struct("<8sQQ")
_MAGIC = b"SHOALRG1"
_ALIGNMENT = 64


@dataclass(frozen=True)
class Slots:
    """A run of neighbouring slots that one holder may write until it is released."""

    start: int
    """Index of the first slot."""
    generations: tuple[int, ...]
    """Generation of each slot of the run."""

    @property
    def count(self) -> int:
        """Number of slots."""
        return len(self.generations)


@dataclass(frozen=True)
class _Layout:
    slot_count: int
    slot_bytes: int

    @property
    def data_bytes(self) -> int:
        return self.slot_count * self.slot_bytes

    @property
    def generations_offset(self) -> int:
        return -(-self.data_bytes // _ALIGNMENT) * _ALIGNMENT

    @property
    def total_bytes(self) -> int:
        return self.generations_offset + 8 * self.slot_count + _TRAILER.size

    def generations(self, memory: mmap.mmap) -> NDArray[np.int64]:
        return np.frombuffer(memory, np.int64, self.slot_count, self.generations_offset)


class FrameRing:
    """The owner's side of a region: hands out runs of slots, and waits when none is free.

    Safe to use from several threads and from an event loop. Waiting requests are served in the
    order in which they came, so a large one is not starved by small ones.
    """

    def __init__(self, name: str, descriptor: int, layout: _Layout) -> None:
        self.name = name
        """Name as in shm_open(3), with the leading slash."""
        self.slot_count = layout.slot_count
        self.slot_bytes = layout.slot_bytes
        self._descriptor = descriptor
        memory = mmap.mmap(descriptor, layout.total_bytes)
        self._bytes = np.frombuffer(memory, np.uint8, layout.data_bytes)
        self._generations = layout.generations(memory)
        self._lock = threading.Lock()
        self._free = [True] * layout.slot_count
        self._cursor: int = 0
        self._waiting: deque[tuple[int, Future[Slots]]] = deque()
        self._closed = False

    @classmethod
    def create(cls, slot_count: int, slot_bytes: int) -> Self:
        """Returns a new ring, after removing regions whose owners have died.

        All of its memory is reserved now, so that writing a frame cannot fail later.

        Args:
            slot_count: Number of slots, at least 1.
            slot_bytes: Size of a slot: height × width × channels of the frames.

        Raises:
            InvalidArgument: RING_INVALID when a number is not positive.
            ResourceExhausted: SHARED_MEMORY_FULL when `/dev/shm` has no room for it.
        """
        if slot_count < 1 or slot_bytes < 1:
            raise InvalidArgument(
                "RING_INVALID",
                f"A ring needs slots of at least one byte, not {slot_count} of {slot_bytes} bytes.",
                slot_count=slot_count,
                slot_bytes=slot_bytes,
            )
        sweep_dead_regions()
        layout = _Layout(slot_count, slot_bytes)
        name, descriptor = create_region()
        try:
            os.posix_fallocate(descriptor, 0, layout.total_bytes)
            os.pwrite(
                descriptor,
                _TRAILER.pack(_MAGIC, slot_count, slot_bytes),
                layout.total_bytes - _TRAILER.size,
            )
            return cls(name, descriptor, layout)
        except OSError as error:
            remove_region(name)
            os.close(descriptor)
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                raise
            raise ResourceExhausted(
                "SHARED_MEMORY_FULL",
                f"/dev/shm has no room for {layout.total_bytes} bytes of frames; make it "
                "larger, or use smaller batches.",
                needed_bytes=layout.total_bytes,
            ) from error

    @property
    def data_bytes(self) -> int:
        """Size of all slots together: what an engine registers, from offset 0."""
        return self.slot_count * self.slot_bytes

    @property
    def used_slot_count(self) -> int:
        """Slots that somebody holds."""
        return self._free.count(False)

    def acquire(self, count: int, timeout_s: float | None = None) -> Slots:
        """Returns `count` neighbouring slots, waiting in this thread until they are free.

        Raises:
            InvalidArgument: RING_TOO_SMALL when the ring never has so many.
            DeadlineExceeded: RING_FULL when they are not free in time.
            Cancelled: RING_CLOSED when the ring is closed meanwhile.
        """
        future = self._request(count)
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            granted = self._give_up(future)
            if granted is not None:
                return granted
            raise DeadlineExceeded(
                "RING_FULL",
                f"{count} of {self.slot_count} frame slots did not become free within "
                f"{timeout_s} s; release slots sooner or use a larger ring.",
                count=count,
                slot_count=self.slot_count,
            ) from error

    async def acquire_async(self, count: int) -> Slots:
        """Returns `count` neighbouring slots, waiting without blocking the event loop.

        Raises:
            InvalidArgument: RING_TOO_SMALL when the ring never has so many.
            Cancelled: RING_CLOSED when the ring is closed meanwhile.
        """
        future = self._request(count)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            granted = self._give_up(future)
            if granted is not None:
                self.release(granted)
            raise

    def release(self, slots: Slots) -> None:
        """Gives slots back; nobody may use views of them any more.

        Raises:
            InvalidArgument: SLOTS_NOT_HELD when they are not the caller's to give.
        """
        run = slice(slots.start, slots.start + slots.count)
        with self._lock:
            if self._closed:
                return
            held = tuple(self._generations[run].tolist()) == slots.generations
            if not held or any(self._free[run]):
                raise InvalidArgument(
                    "SLOTS_NOT_HELD",
                    f"Slots {run.start} to {run.stop - 1} are not held any more; release a run "
                    "once.",
                    start=slots.start,
                )
            self._free[run] = [True] * slots.count
            self._serve_waiting()

    def view(self, slots: Slots, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Returns the slots' pixels as one writable array [count, *shape], without copying.

        Raises:
            InvalidArgument: FRAME_SHAPE_MISMATCH when a frame of that shape does not fill a slot.
            Cancelled: RING_CLOSED when the ring was closed meanwhile.
        """
        if int(np.prod(shape, dtype=np.int64)) != self.slot_bytes:
            raise InvalidArgument(
                "FRAME_SHAPE_MISMATCH",
                f"A frame of shape {shape} does not fill a slot of {self.slot_bytes} bytes.",
                shape=shape,
                slot_bytes=self.slot_bytes,
            )
        start = self.offset_bytes(slots)
        with self._lock:
            if self._closed:
                raise _closed()
            pixels = self._bytes
        return pixels[start : start + slots.count * self.slot_bytes].reshape(slots.count, *shape)

    def offset_bytes(self, slots: Slots) -> int:
        """Returns where the run begins, from the start of the region."""
        return slots.start * self.slot_bytes

    def close(self) -> None:
        """Removes the region and ends all waiting; the memory goes when the last view does."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            waiting = [future for _, future in self._waiting]
            self._waiting.clear()
            # Whoever still knows the ring, as the traceback of a cancelled task does for a
            # while, must not keep its memory.
            self._bytes = np.empty(0, np.uint8)
            self._generations = np.empty(0, np.int64)
        remove_region(self.name)
        os.close(self._descriptor)
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(_closed())

    def _request(self, count: int) -> Future[Slots]:
        if not 1 <= count <= self.slot_count:
            raise InvalidArgument(
                "RING_TOO_SMALL",
                f"{count} slots were asked of a ring that has {self.slot_count}.",
                count=count,
                slot_count=self.slot_count,
            )
        future: Future[Slots] = Future()
        with self._lock:
            if self._closed:
                raise _closed()
            self._waiting.append((count, future))
            self._serve_waiting()
        return future

    def _give_up(self, future: Future[Slots]) -> Slots | None:
        """Takes a request back; slots if it was granted in the very same moment."""
        if not future.cancel():
            return future.result()
        with self._lock:
            self._serve_waiting()
        return None

    def _serve_waiting(self) -> None:
        while self._waiting:
            count, future = self._waiting[0]
            if not future.cancelled():
                start = self._free_run(count)
                if start is None:
                    return
                if future.set_running_or_notify_cancel():
                    future.set_result(self._take(start, count))
            self._waiting.popleft()

    def _take(self, start: int, count: int) -> Slots:
        run = slice(start, start + count)
        self._free[run] = [False] * count
        self._generations[run] += 1
        self._cursor = run.stop
        return Slots(start, tuple(self._generations[run].tolist()))

    def _free_run(self, count: int) -> int | None:
        """The first free run at or after the cursor, else before it; a run never wraps."""
        last = self.slot_count - count
        order = [*range(self._cursor, last + 1), *range(min(self._cursor, last + 1))]
        return next((start for start in order if all(self._free[start : start + count])), None)


class FrameRegion:
    """A reader's side of a region that another process owns."""

    def __init__(self, memory: mmap.mmap, layout: _Layout) -> None:
        self.slot_count = layout.slot_count
        self.slot_bytes = layout.slot_bytes
        self._bytes = np.frombuffer(memory, np.uint8, layout.data_bytes)
        self._generations = layout.generations(memory)

    @classmethod
    def attach(cls, name: str) -> Self:
        """Returns the region; mapped until the last view of it is gone.

        Raises:
            InvalidArgument: REGION_INVALID when the name or the file is not a ring's.
            NotFound: REGION_NOT_FOUND when its owner has removed it.
            PermissionDenied: REGION_FORBIDDEN when it belongs to another user.
        """
        if not is_own_name(name):
            raise _invalid_region(name)
        descriptor = open_region(name, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            if size < _TRAILER.size:
                raise _invalid_region(name)
            memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        magic, slot_count, slot_bytes = _TRAILER.unpack_from(memory, size - _TRAILER.size)
        layout = _Layout(slot_count, slot_bytes)
        if magic != _MAGIC or layout.total_bytes != size:
            raise _invalid_region(name)
        return cls(memory, layout)

    def copy(self, offset_bytes: int, shape: tuple[int, ...], generation: int) -> NDArray[np.uint8]:
        """Returns a copy of one frame, whole as its owner wrote it.

        Args:
            offset_bytes: Where its slot begins.
            shape: Height, width, channels.
            generation: The slot's generation when the frame was written.

        Raises:
            InvalidArgument: FRAME_SHAPE_MISMATCH when shape and offset do not name a slot.
            FailedPrecondition: FRAME_OVERWRITTEN when the slot has been handed out again.
        """
        slot, rest = divmod(offset_bytes, self.slot_bytes)
        byte_count = int(np.prod(shape, dtype=np.int64))
        inside = 0 <= slot < self.slot_count and rest == 0 and min(shape, default=0) > 0
        if not inside or byte_count > self.slot_bytes:
            raise InvalidArgument(
                "FRAME_SHAPE_MISMATCH",
                f"A frame of shape {shape} at byte {offset_bytes} is not one of the region's "
                f"{self.slot_count} slots of {self.slot_bytes} bytes.",
                shape=shape,
                offset_bytes=offset_bytes,
            )
        frame = self._bytes[offset_bytes : offset_bytes + byte_count].reshape(shape).copy()
        if int(self._generations[slot]) != generation:
            raise FailedPrecondition(
                "FRAME_OVERWRITTEN",
                f"Slot {slot} no longer holds the frame of generation {generation}; use more "
                "slots or send frames more slowly.",
                slot=slot,
                generation=generation,
            )
        return frame


def _closed() -> Cancelled:
    return Cancelled("RING_CLOSED", "The ring of frames was closed.")


def _invalid_region(name: str) -> InvalidArgument:
    return InvalidArgument(
        "REGION_INVALID", f"{name!r} is not a shared memory region of frames.", region=name
    )

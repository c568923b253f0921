"""A session's frames where its engine can read them."""

import logging
import threading

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.client import SharedFrames
from shoal_common.shm import FrameRing
from shoal_core.errors import ResourceExhausted

logger = logging.getLogger(__name__)

Placed = NDArray[np.uint8] | SharedFrames
"""A batch of one frame [1, H, W, C], in the ring or not."""


class FrameSlots:
    """A ring of the session's own, made for the size of its first frame.

    Frames of another size, and all frames where shared memory is full, stay where they are and
    travel inside the requests to the engine. Safe to use from several threads.
    """

    def __init__(self, slot_count: int) -> None:
        self._slot_count = slot_count
        self._lock = threading.Lock()
        self._ring: FrameRing | None = None
        self._is_given_up = False

    def place(self, frame_HWC: NDArray[np.uint8]) -> Placed:
        """Copies a frame into a free slot, if there is one for it."""
        ring = self._ring_for(frame_HWC.nbytes)
        if ring is None or ring.slot_bytes != frame_HWC.nbytes:
            return frame_HWC[None]
        height, width, channels = frame_HWC.shape
        shared = SharedFrames(ring, ring.acquire(1), (1, height, width, channels))
        shared.pixels_BHWC[0] = frame_HWC
        return shared

    def release(self, placed: Placed) -> None:
        """Frees the frame's slot; the engine must have answered."""
        if isinstance(placed, SharedFrames):
            placed.ring.release(placed.slots)

    def close(self) -> FrameRing | None:
        """Removes the ring from this machine; returns it, for the engine to be told."""
        with self._lock:
            self._is_given_up = True
            ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
        return ring

    def _ring_for(self, frame_bytes: int) -> FrameRing | None:
        with self._lock:
            if self._ring is None and not self._is_given_up:
                try:
                    self._ring = FrameRing.create(self._slot_count, frame_bytes)
                except ResourceExhausted as error:
                    logger.warning("frames travel inside requests: %s", error.message)
                    self._is_given_up = True
            return self._ring

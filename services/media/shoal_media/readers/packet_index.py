"""The true frame index of a container, from its packets.

Axis legend: P packets in file (decoding) order, F frames in order of presentation,
K keyframe packets in file order. A packet's ordinal is its place in P.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NO_TIMESTAMP = np.iinfo(np.int64).min
HIDDEN = -1


@dataclass(frozen=True, eq=False)
class PacketTable:
    """What demuxing tells of each packet; NO_TIMESTAMP where the container is silent."""

    pts_P: NDArray[np.int64]
    dts_P: NDArray[np.int64]
    positions_P: NDArray[np.int64]
    """Byte offset in the file; -1 if unknown."""
    is_keyframe_P: NDArray[np.bool_]
    is_discarded_P: NDArray[np.bool_]
    """Packets that an edit list hides: decoded, never shown."""
    is_cut_P: NDArray[np.bool_]
    """Packets with missing bytes, as at the end of a cut-off file."""
    ended_with_error: bool

    @property
    def packet_count(self) -> int:
        """Number of packets P."""
        return len(self.pts_P)

    @cached_property
    def has_unique_pts(self) -> bool:
        """Whether every packet has a presentation time of its own."""
        sorted_P = np.sort(self.pts_P)
        return bool(sorted_P[0] != NO_TIMESTAMP and (np.diff(sorted_P) > 0).all())

    @property
    def first_keyframe(self) -> int:
        """Ordinal of the first keyframe; 0 if none is marked."""
        keyframes_K = np.flatnonzero(self.is_keyframe_P)
        return int(keyframes_K[0]) if len(keyframes_K) else 0


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """Which packet shows which frame, and where decoding may start for it."""

    ranks_P: NDArray[np.int64]
    """Place in the order of presentation among all packets, hidden ones included."""
    frames_P: NDArray[np.int64]
    """Index of the frame that the packet shows; HIDDEN for none."""
    packets_F: NDArray[np.int64]
    """Ordinal of the packet that shows the frame."""
    keyframes_K: NDArray[np.int64]
    """Ordinals of the keyframe packets; never empty."""
    is_order_learnt: bool
    """Whether decoding told the order: the places of damaged packets are then guessed."""

    @classmethod
    def from_order(
        cls, table: PacketTable, shown_order: NDArray[np.int64], *, is_learnt: bool = False
    ) -> "PacketIndex":
        """Builds the index from the ordinals of packets in order of presentation.

        Packets before the first keyframe, and the pictures that precede it on screen while
        they follow it in the file (open group of pictures), cannot be decoded and get no
        frame index; nor do packets that an edit list hides or that are cut off.

        Args:
            table: The demuxed packets.
            shown_order: Ordinals in order of presentation; those missing are never shown.
            is_learnt: Whether decoding told the order.
        """
        ranks_P = np.full(table.packet_count, HIDDEN, np.int64)
        ranks_P[shown_order] = np.arange(len(shown_order))
        first = table.first_keyframe
        keyframes_K = np.flatnonzero(table.is_keyframe_P)
        keyframes_K = keyframes_K if len(keyframes_K) else np.zeros(1, np.int64)
        is_shown_P = (ranks_P != HIDDEN) & ~table.is_discarded_P & ~table.is_cut_P
        is_shown_P[:first] = False
        is_shown_P &= ranks_P >= ranks_P[first]
        packets_F = shown_order[is_shown_P[shown_order]]
        return cls._of_frames(ranks_P, packets_F, keyframes_K, is_learnt)

    @classmethod
    def _of_frames(
        cls,
        ranks_P: NDArray[np.int64],
        packets_F: NDArray[np.int64],
        keyframes_K: NDArray[np.int64],
        is_order_learnt: bool,
    ) -> "PacketIndex":
        frames_P = np.full(len(ranks_P), HIDDEN, np.int64)
        frames_P[packets_F] = np.arange(len(packets_F))
        return cls(
            ranks_P=ranks_P,
            frames_P=frames_P,
            packets_F=packets_F,
            keyframes_K=keyframes_K,
            is_order_learnt=is_order_learnt,
        )

    @property
    def frame_count(self) -> int:
        """Number of frames F."""
        return len(self.packets_F)

    @property
    def keyframe_indices(self) -> NDArray[np.int64]:
        """Frame indices of the keyframes that are shown, in order."""
        frames = self.frames_P[self.keyframes_K]
        return np.sort(frames[frames != HIDDEN])

    def cut(self, frame_count: int) -> "PacketIndex":
        """Returns the index of the first `frame_count` frames only."""
        return self._of_frames(
            self.ranks_P, self.packets_F[:frame_count], self.keyframes_K, self.is_order_learnt
        )

    def starts_for(self, frame_index: int) -> Iterator[int]:
        """Yields the keyframes (ordinals) from which the frame can be decoded, nearest first.

        A keyframe serves if it comes no later than the frame both in the file and on screen:
        pictures that are shown before an open group's keyframe need the group before it.
        """
        packet = self.packets_F[frame_index]
        after = int(np.searchsorted(self.keyframes_K, packet, "right"))
        for place in range(after - 1, -1, -1):
            keyframe = int(self.keyframes_K[place])
            if self.ranks_P[keyframe] <= self.ranks_P[packet]:
                yield keyframe


def presentation_order(table: PacketTable) -> NDArray[np.int64]:
    """Returns the ordinals of all packets sorted by presentation time."""
    return np.argsort(table.pts_P, kind="stable").astype(np.int64)

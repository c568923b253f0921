"""The order of presentation, learnt by decoding where the container does not know it.

Axis legend: S packets whose pictures came out, L packets that were lost to damage.
"""

from itertools import chain

import av
import numpy as np
from numpy.typing import NDArray

from shoal_media.readers.packet_source import PacketSource


def decoded_order(source: PacketSource) -> NDArray[np.int64] | None:
    """Returns the ordinals of the packets that are shown, in order of presentation.

    A packet that is lost to damage keeps a place, behind all packets before it in the file, so
    that damage does not shift the frames of later groups. None is returned where a packet shows
    several frames.
    """
    shown, refused = _decoded(source)
    is_whole = len(shown) == source.table.packet_count - source.table.first_keyframe
    if not is_whole and source.thread_count > 1:
        # Several threads tell too late, or not at all, what they refused: all again, with one.
        source.reopen(thread_count=1)
        shown, refused = _decoded(source)
    if len(set(shown)) != len(shown):
        return None
    shown_S = np.array(shown, np.int64)
    lost_L = np.array(_lost(source, set(shown), set(refused)), np.int64)
    by_ordinal_S = np.argsort(shown_S)
    earlier_L = np.searchsorted(shown_S, lost_L, sorter=by_ordinal_S)
    last_places = np.append(-1, np.maximum.accumulate(by_ordinal_S))
    return np.insert(shown_S, last_places[earlier_L] + 1, lost_L)


def _decoded(source: PacketSource) -> tuple[list[int], list[int]]:
    """Returns the ordinals of pictures as they come out, and of packets that are refused."""
    decoder = source.stream.codec_context
    shown: list[int] = []
    refused: list[int] = []
    end = (source.table.packet_count, None)
    for ordinal, packet in chain(source.packets_from(source.table.first_keyframe), [end]):
        if packet is not None:
            packet.pts = packet.dts = ordinal
        try:
            shown += [picture.pts for picture in decoder.decode(packet) if picture.pts is not None]
        except av.FFmpegError:
            refused.append(ordinal)
    return shown, refused


def _lost(source: PacketSource, shown: set[int], refused: set[int]) -> list[int]:
    """Returns the packets that are refused or that give no picture behind one that is.

    Behind damage a decoder may be silent until a keyframe comes out; where nothing is damaged,
    a packet without a picture is one that is never shown.
    """
    lost = []
    is_behind_damage = False
    for ordinal in range(source.table.first_keyframe, source.table.packet_count):
        if ordinal in refused:
            is_behind_damage = True
        elif ordinal in shown and source.table.is_keyframe_P[ordinal]:
            is_behind_damage = False
        if is_behind_damage and ordinal not in shown:
            lost.append(ordinal)
    return lost

"""The order of presentation, learnt by decoding where the container does not know it."""

import av
import numpy as np
from numpy.typing import NDArray

from shoal_media.readers.packet_source import PacketSource


def decoded_order(source: PacketSource) -> NDArray[np.int64] | None:
    """Returns the ordinals of the packets that are shown, in order of presentation.

    A packet that the decoder refuses keeps a place, beside its predecessor, so that damage does
    not shift the frames behind it. None is returned where a packet shows several frames.
    """
    decoder = source.stream.codec_context
    shown: list[int] = []
    refused: list[int] = []
    for ordinal, packet in source.packets_from(source.table.first_keyframe):
        packet.pts = packet.dts = ordinal
        try:
            shown += [picture.pts for picture in decoder.decode(packet) if picture.pts is not None]
        except av.FFmpegError:
            refused.append(ordinal)
    shown += [picture.pts for picture in decoder.decode(None) if picture.pts is not None]
    if len(set(shown)) != len(shown):
        return None
    for ordinal in refused:
        before = shown.index(ordinal - 1) + 1 if ordinal - 1 in shown else 0
        shown.insert(before, ordinal)
    return np.array(shown, np.int64)

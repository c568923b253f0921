"""Whether what a strict decoder refuses is damage, or the way of the encoder.

Some encoders break rules that decoders do not depend on, and a strict decoder refuses packets
everywhere in their videos, while damage is local. Behind the keyframe of an open group it may
refuse an intact packet, which it takes if it has seen the group before.
"""

import numpy as np

from shoal_media.readers.decoding_run import DecodingRun
from shoal_media.readers.packet_index import PacketIndex
from shoal_media.readers.packet_source import PacketSource

_PLACE_COUNT = 5
_PACKETS_PER_PLACE = 12


def refuses_intact_packets(source: PacketSource, index: PacketIndex) -> bool:
    """Returns what the first packets behind five evenly spaced keyframes tell.

    Args:
        source: With a strict decoder.
        index: The frames of the video.
    """
    last_place = len(index.keyframes_K) - 1
    places = np.unique(np.linspace(0, last_place, _PLACE_COUNT).round().astype(np.int64)).tolist()
    refused = [place for place in places if _refuses(source, index, place, place)]
    if 2 * len(refused) > len(places):
        return True
    return any(not _refuses(source, index, place - 1, place) for place in refused if place)


def _refuses(source: PacketSource, index: PacketIndex, first: int, place: int) -> bool:
    """Whether decoding from the first of two keyframes fails soon behind the other, or before."""
    run = DecodingRun(source, index, int(index.keyframes_K[first]))
    return run.refuses_before(int(index.keyframes_K[place]) + _PACKETS_PER_PLACE)

"""Protobuf ↔ what shoal_media reads.

Axis legend: K keyframes.
"""

from typing import TYPE_CHECKING, cast

import numpy as np

from shoal.common.v1 import frame_pb2, video_pb2
from shoal.decode.v1 import decode_pb2 as pb
from shoal_common.convert import tensor
from shoal_core.errors import InvalidArgument
from shoal_decode.pictures import Encoding, Picture, PictureForm

if TYPE_CHECKING:
    from shoal_media.readers import Channels, VideoInfo

MAX_KEYFRAMES = 100_000

_ENCODINGS: dict[int, Encoding] = {
    pb.FRAME_ENCODING_UNSPECIFIED: "raw",
    pb.FRAME_ENCODING_RAW: "raw",
    pb.FRAME_ENCODING_JPEG: "jpeg",
    pb.FRAME_ENCODING_PNG: "png",
}
_FORMATS = {"jpeg": frame_pb2.IMAGE_FORMAT_JPEG, "png": frame_pb2.IMAGE_FORMAT_PNG}


def probe_response(info: "VideoInfo") -> pb.ProbeVideoResponse:
    """Returns what is known of a video."""
    keyframes_K = np.union1d([0], info.keyframe_indices_K)  # a hidden one may come before frame 0
    if len(keyframes_K) > MAX_KEYFRAMES:
        places = np.linspace(0, len(keyframes_K) - 1, MAX_KEYFRAMES).round().astype(np.int64)
        keyframes_K = keyframes_K[places]
    video = video_pb2.Video(
        uri=str(info.path),
        frame_count=info.frame_count,
        height_px=info.height_px,
        width_px=info.width_px,
        channel_count=1 if info.is_gray else 3,
        frame_rate_hz=info.fps or 0.0,
        content_hash=info.content_hash,
        missing_frame_count=-1 if info.missing_frame_count is None else info.missing_frame_count,
        window=None
        if info.window is None
        else video_pb2.LevelWindow(low=info.window[0], high=info.window[1]),
    )
    return pb.ProbeVideoResponse(video=video, keyframe_indices=keyframes_K.tolist())


def channels(request: pb.StreamFramesRequest) -> "Channels | None":
    """Returns the channels that were asked for; None for those of the video.

    Raises:
        InvalidArgument: CHANNEL_COUNT_INVALID.
    """
    if request.channel_count not in (0, 1, 3):
        raise InvalidArgument(
            "CHANNEL_COUNT_INVALID",
            f"channel_count is {request.channel_count}; give 1 (gray), 3 (RGB) or 0.",
            channel_count=request.channel_count,
        )
    return cast("Channels | None", request.channel_count or None)


def picture_form(request: pb.StreamFramesRequest) -> PictureForm:
    """Returns how the pixels are to be sent.

    Raises:
        InvalidArgument: ENCODING_UNKNOWN or MAX_SIDE_INVALID.
    """
    encoding = _ENCODINGS.get(request.encoding)
    if encoding is None:
        raise InvalidArgument(
            "ENCODING_UNKNOWN",
            f"Encoding {request.encoding} is not known; give RAW, JPEG or PNG.",
            encoding=request.encoding,
        )
    if request.max_side_px < 0:
        raise InvalidArgument(
            "MAX_SIDE_INVALID",
            f"max_side_px is {request.max_side_px}; give a positive number, or 0 for all pixels.",
            max_side_px=request.max_side_px,
        )
    return PictureForm(encoding=encoding, max_side_px=request.max_side_px or None)


def picture_response(picture: Picture) -> pb.StreamFramesResponse:
    """Returns one frame of a stream."""
    payload = (
        frame_pb2.FramePayload(
            encoded=frame_pb2.EncodedImage(format=_FORMATS[picture.encoding], data=picture.content)
        )
        if isinstance(picture.content, bytes)
        else frame_pb2.FramePayload(inline=tensor(picture.content))
    )
    return pb.StreamFramesResponse(
        frame_index=picture.frame_index, frame=payload, timestamp_ms=picture.timestamp_ms
    )

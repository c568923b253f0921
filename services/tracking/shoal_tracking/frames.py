"""Pixels out of whatever way a frame travelled."""

import threading

import numpy as np
from numpy.typing import NDArray

from shoal.common.v1 import frame_pb2
from shoal_common import convert
from shoal_common.roots import AllowedRoots
from shoal_common.shm import FrameRegion
from shoal_core.errors import Cancelled, InvalidArgument
from shoal_media.frames import decode_image
from shoal_media.readers import VideoReader, open_video

_MAX_ENCODED_BYTES = 16 * 1024 * 1024


class FrameSource:
    """Reads the frames of one session; keeps its last video and shared region open."""

    def __init__(self, roots: AllowedRoots) -> None:
        self._roots = roots
        self._lock = threading.Lock()
        self._is_closed = False
        self._reader: VideoReader | None = None
        self._region: FrameRegion | None = None
        self._region_name = ""

    def read(self, payload: frame_pb2.FramePayload) -> NDArray[np.uint8]:
        """Returns the pixels [H, W, C].

        Raises:
            InvalidArgument: FRAME_UNREADABLE, IMAGE_UNREADABLE, TENSOR_INVALID, REGION_INVALID
                or FRAME_SHAPE_MISMATCH.
            FailedPrecondition: FRAME_OVERWRITTEN.
            NotFound, OutOfRange, PermissionDenied: Of a video or region named by reference.
            Cancelled: SESSION_CLOSED.
        """
        with self._lock:
            if self._is_closed:
                raise Cancelled("SESSION_CLOSED", "The session has ended.")
            frame = self._pixels(payload)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
            raise InvalidArgument(
                "FRAME_UNREADABLE",
                f"A frame must be uint8 [height, width, 1 or 3], not {frame.dtype} "
                f"{list(frame.shape)}.",
            )
        if frame.size == 0:
            raise InvalidArgument(
                "FRAME_UNREADABLE", f"A frame of shape {list(frame.shape)} has no pixels."
            )
        return frame

    def close(self) -> None:
        """Closes what is open, after the read that is under way."""
        with self._lock:
            self._is_closed = True
            self._region = None
            self._close_reader()

    def _pixels(self, payload: frame_pb2.FramePayload) -> NDArray[np.uint8]:
        match payload.WhichOneof("payload"):
            case "ref":
                return self._open(payload.ref.video_uri).read(payload.ref.frame_index)
            case "inline":
                return convert.array(payload.inline)
            case "encoded":
                return decode_image(_encoded(payload.encoded))
            case "shm":
                return self._attach(payload.shm.region).copy(
                    payload.shm.offset_bytes, tuple(payload.shm.shape), payload.shm.generation
                )
            case _:
                raise InvalidArgument("FRAME_UNREADABLE", "The frame carries no pixels.")

    def _open(self, uri: str) -> VideoReader:
        path = self._roots.resolve(uri)
        if self._reader is None or self._reader.info.path != path:
            self._close_reader()
            self._reader = open_video(path)
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _attach(self, name: str) -> FrameRegion:
        if self._region is None or self._region_name != name:
            self._region, self._region_name = FrameRegion.attach(name), name
        return self._region


def _encoded(image: frame_pb2.EncodedImage) -> bytes:
    if image.format not in (frame_pb2.IMAGE_FORMAT_JPEG, frame_pb2.IMAGE_FORMAT_PNG):
        raise InvalidArgument(
            "FRAME_UNREADABLE", f"Image format {image.format} is not known; send JPEG or PNG."
        )
    if len(image.data) > _MAX_ENCODED_BYTES:
        raise InvalidArgument(
            "FRAME_UNREADABLE",
            f"The image has {len(image.data)} bytes, more than {_MAX_ENCODED_BYTES}; compress it "
            "more, or share memory.",
        )
    return image.data

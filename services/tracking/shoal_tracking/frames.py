"""Pixels out of whatever way a frame travelled."""

from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shoal.common.v1 import frame_pb2
from shoal_common import convert
from shoal_common.roots import AllowedRoots
from shoal_common.shm import FrameRegion
from shoal_core.errors import InvalidArgument
from shoal_media.frames import decode_image
from shoal_media.readers import VideoReader, open_video


class FrameSource:
    """Reads the frames of one session; keeps its last video and shared region open."""

    def __init__(self, roots: AllowedRoots) -> None:
        self._roots = roots
        self._reader: VideoReader | None = None
        self._region: FrameRegion | None = None
        self._region_name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.close()

    def read(self, payload: frame_pb2.FramePayload) -> NDArray[np.uint8]:
        """Returns the pixels [H, W, C].

        Raises:
            InvalidArgument: FRAME_UNREADABLE, TENSOR_INVALID, or REGION_INVALID.
            FailedPrecondition: FRAME_OVERWRITTEN.
            NotFound, OutOfRange, PermissionDenied: of a video or region named by reference.
        """
        match payload.WhichOneof("payload"):
            case "ref":
                frame = self._open(payload.ref.video_uri).read(payload.ref.frame_index)
            case "inline":
                frame = convert.array(payload.inline)
            case "encoded":
                frame = decode_image(payload.encoded.data)
            case "shm":
                frame = self._attach(payload.shm.region).copy(
                    payload.shm.offset_bytes, tuple(payload.shm.shape), payload.shm.generation
                )
            case _:
                raise InvalidArgument("FRAME_UNREADABLE", "The frame carries no pixels.")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
            raise InvalidArgument(
                "FRAME_UNREADABLE",
                f"A frame must be uint8 [height, width, 1 or 3], not {frame.dtype} "
                f"{list(frame.shape)}.",
            )
        return frame

    def _open(self, uri: str) -> VideoReader:
        path = self._roots.resolve(uri)
        if self._reader is None or self._reader.info.path != path:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            self._reader = open_video(path)
        return self._reader

    def _attach(self, name: str) -> FrameRegion:
        if self._region is None or self._region_name != name:
            self._region, self._region_name = FrameRegion.attach(name), name
        return self._region

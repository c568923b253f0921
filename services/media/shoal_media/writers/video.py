"""Writes H.264 video; what has the final name is complete.

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB).
"""

import errno
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted

_RATE_DENOMINATOR_LIMIT = 1001


class VideoWriter:
    """Writes frames to an mp4 file (H.264, yuv420p, index at the front).

    The frames go to a hidden file beside `path`, which takes the final name when the `with`
    block ends without an error, and is removed otherwise: no half-written output remains.
    """

    def __init__(self, path: str | Path, *, fps: float, crf: int = 20) -> None:
        """Opens the output.

        Args:
            path: The mp4 file to write; replaced if it exists.
            fps: Frames per second.
            crf: Constant rate factor of x264, 0 (lossless) to 51; 18 looks lossless.

        Raises:
            InvalidArgument: FPS_OUT_OF_RANGE, CRF_OUT_OF_RANGE.
            NotFound: FOLDER_NOT_FOUND when the folder does not exist.
            PermissionDenied: OUTPUT_FORBIDDEN. ResourceExhausted: DISK_FULL.
        """
        self._path = Path(path)
        if not fps > 0:
            raise InvalidArgument(
                "FPS_OUT_OF_RANGE", f"A video needs a positive frame rate, not {fps}.", fps=fps
            )
        if not 0 <= crf <= 51:
            raise InvalidArgument("CRF_OUT_OF_RANGE", f"crf is 0 to 51, not {crf}.", crf=crf)
        if not self._path.parent.is_dir():
            raise NotFound(
                "FOLDER_NOT_FOUND",
                f"There is no folder {self._path.parent}; make it first.",
                folder=self._path.parent,
            )
        self._rate = Fraction(fps).limit_denominator(_RATE_DENOMINATOR_LIMIT)
        self._crf = crf
        self._partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.partial")
        self._container: Any | None = None
        self._stream: Any | None = None
        self._frame_shape_HWC: tuple[int, ...] = ()
        self._frame_count = 0
        self._to_yuv = VideoReformatter()

    @property
    def frame_count(self) -> int:
        """Frames written so far."""
        return self._frame_count

    def write(self, frame_HWC: NDArray[np.uint8]) -> None:
        """Appends a gray or RGB frame; all frames have the shape of the first.

        An odd last row or column is repeated once, as yuv420p needs even sizes.

        Raises:
            InvalidArgument: FRAME_SHAPE_MISMATCH. ResourceExhausted: DISK_FULL.
        """
        if self._stream is None:
            self._frame_shape_HWC = frame_HWC.shape
            self._start()
        if frame_HWC.shape != self._frame_shape_HWC:
            raise InvalidArgument(
                "FRAME_SHAPE_MISMATCH",
                f"Frame {self._frame_count} of {self._path.name} has shape {frame_HWC.shape}, "
                f"the first has {self._frame_shape_HWC}; scale it before.",
                shape=frame_HWC.shape,
            )
        picture = self._to_yuv.reformat(
            av.VideoFrame.from_ndarray(_even_rgb(frame_HWC), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        picture.pts = self._frame_count
        picture.time_base = 1 / self._rate
        self._mux(picture)
        self._frame_count += 1

    def close(self) -> None:
        """Finishes the file and gives it its final name.

        Raises:
            InvalidArgument: VIDEO_EMPTY when no frame was written; nothing is left behind.
            ResourceExhausted: DISK_FULL.
        """
        if self._container is None:
            raise InvalidArgument(
                "VIDEO_EMPTY", f"No frame was written to {self._path}.", path=self._path
            )
        self._mux(None)
        try:
            self._container.close()
            self._partial.replace(self._path)
        except OSError as error:
            raise self._output_error(error) from error
        self._container = None

    def discard(self) -> None:
        """Removes what was written; harmless after `close`."""
        if self._container is not None:
            try:
                self._container.close()
            finally:
                self._container = None
                self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error_type is None:
                self.close()
        finally:
            self.discard()

    def _start(self) -> None:
        height, width = self._frame_shape_HWC[:2]
        try:
            self._container = av.open(
                str(self._partial), "w", format="mp4", options={"movflags": "faststart"}
            )
        except OSError as error:
            raise self._output_error(error) from error
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(self._crf), "preset": "veryfast"}
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        self._stream = stream

    def _mux(self, picture: Any | None) -> None:
        if self._stream is None or self._container is None:
            return
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except OSError as error:
            raise self._output_error(error) from error

    def _output_error(
        self, error: OSError
    ) -> ResourceExhausted | PermissionDenied | InvalidArgument:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                return ResourceExhausted(
                    "DISK_FULL",
                    f"There is no room left for {self._path}; free some or write elsewhere.",
                    path=self._path,
                )
            case errno.EACCES | errno.EPERM | errno.EROFS:
                return PermissionDenied(
                    "OUTPUT_FORBIDDEN",
                    f"{self._path} may not be written; choose another folder.",
                    path=self._path,
                )
            case _:
                return InvalidArgument(
                    "OUTPUT_UNWRITABLE",
                    f"{self._path} cannot be written ({error.strerror}); choose another place.",
                    path=self._path,
                )


def _even_rgb(frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, channels = frame_HWC.shape
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    even_HWC = np.pad(frame_HWC, padding, mode="edge") if height % 2 or width % 2 else frame_HWC
    return np.ascontiguousarray(even_HWC if channels == 3 else np.repeat(even_HWC, 3, axis=2))

"""Reads the frames that SLEAP embeds in `.pkg.slp` files: encoded images, `videoN/video`.

A frame index is the number of the frame in the video that it was taken from, since labels and
predictions name their frames by it. Frames in between are not there:
`VideoInfo.keyframe_indices_K` lists those that are.

Axis legend: K embedded frames.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from shoal_core.errors import InvalidArgument, OutOfRange
from shoal_media.frames import Pixels, decode_pixels
from shoal_media.readers.frame_store import FrameStore, StoredFrames, all_indices, unreadable_frame

_FIRST_FORMAT_IN_RGB = 1.4


class EmbeddedFrames(FrameStore):
    """Rows of encoded bytes with the frame numbers beside them."""

    def __init__(self, path: Path, dataset: Any, content_hash: str) -> None:
        self._dataset = dataset
        self._is_swapped = _channel_order(dataset) == "BGR"
        self._rows = _rows(path, dataset)
        indices_K = np.array(sorted(self._rows), np.int64)
        if not len(indices_K):
            raise InvalidArgument(
                "VIDEO_EMPTY", f"{path} has no embedded frames; embed some in SLEAP.", path=path
            )
        self.frames = StoredFrames(path, int(indices_K[-1]) + 1, indices_K, content_hash)

    def pixels(self, frame_index: int) -> Pixels:
        """Returns the decoded image in RGB order."""
        row = self._rows.get(frame_index)
        if row is None:
            source = _source(self._dataset)
            raise OutOfRange(
                "FRAME_NOT_EMBEDDED",
                f"Frame {frame_index} is not embedded in {self.frames.path}, which holds "
                f"{len(self._rows)} frames; ask for one of them, or give the video"
                f"{f' {source}' if source else ''} itself.",
                frame_index=frame_index,
                path=self.frames.path,
            )
        try:
            pixels = decode_pixels(np.asarray(self._dataset[row]).tobytes())
        except (InvalidArgument, OSError, RuntimeError) as error:
            raise unreadable_frame(
                frame_index, self.name_of(frame_index), "export the package again"
            ) from error
        return pixels[..., ::-1] if self._is_swapped else pixels

    def name_of(self, frame_index: int) -> str:
        """Returns the frame and the dataset."""
        return f"embedded frame {frame_index} of {self._dataset.name} in {self.frames.path}"

    def close(self) -> None:
        """Closes the file."""
        self._dataset.file.close()


def is_embedded(dataset: Any) -> bool:
    """Whether a dataset holds encoded images: byte strings, or rows of bytes padded with 0."""
    is_encoded = dataset.attrs.get("format") not in (None, "hdf5")
    return bool(is_encoded and dataset.ndim in (1, 2) and dataset.name.endswith("/video"))


def _channel_order(dataset: Any) -> str:
    """Returns "BGR" where red and blue are exchanged in the encoded images.

    Files that do not say so are judged by their version: OpenCV's order was the usual one
    before 1.4.
    """
    if "channel_order" in dataset.attrs:
        return str(dataset.attrs["channel_order"])
    metadata = dataset.file.get("metadata")
    version = None if metadata is None else metadata.attrs.get("format_id")
    return "RGB" if version is None or float(version) >= _FIRST_FORMAT_IN_RGB else "BGR"


def _rows(path: Path, dataset: Any) -> dict[int, int]:
    """Returns the row of each frame number."""
    numbers = dataset.parent.get("frame_numbers")
    count = dataset.shape[0]
    numbers_K = all_indices(count) if numbers is None else np.asarray(numbers[:], np.int64)
    rows = {int(number): row for row, number in enumerate(numbers_K)}
    if len(rows) != count or min(rows, default=0) < 0:
        raise InvalidArgument(
            "VIDEO_UNREADABLE",
            f"{path} has {count} embedded frames with {len(rows)} frame numbers; export it again.",
            path=path,
        )
    return rows


def _source(dataset: Any) -> str:
    """Returns the file name of the video that the frames were taken from, or nothing."""
    source = dataset.parent.get("source_video")
    stored = None if source is None else source.attrs.get("json")
    if stored is None:
        return ""
    name = json.loads(stored).get("backend", {}).get("filename", "")
    return name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""

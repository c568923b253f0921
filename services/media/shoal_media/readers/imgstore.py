"""Reads an imgstore (loopbio's format): a folder of chunks, videos or folders of images.

A frame index is the frame's number in the store, as it is in SLEAP: cameras skip numbers, and
there is no picture of those (`VideoInfo.has_gaps`).

Frames of video chunks are what `ContainerReader` gives: bit for bit what OpenCV, so the package
imgstore, gives, but in RGB order, where SLEAP takes imgstore's BGR for RGB. Images keep their
depth, where imgstore cuts 16 bits down to 8.
"""

from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np

from shoal_core.errors import InvalidArgument, OutOfRange, ShoalError
from shoal_core.video_path import IMGSTORE_KEY, IMGSTORE_METADATA, imgstore_folder
from shoal_media.content_hash import hash_images
from shoal_media.frames import Pixels, decode_pixels, to_rgb
from shoal_media.readers.container import ContainerReader
from shoal_media.readers.frame_store import FrameStore, StoredFrames, unreadable_frame
from shoal_media.readers.imgstore_index import (
    StoreFormat,
    StoreIndex,
    store_unreadable,
)

_OPEN_CHUNK_LIMIT = 4
_BAYER_CODES = {
    "cv_bayerbg": cv2.COLOR_BAYER_BG2BGR,
    "cv_bayergb": cv2.COLOR_BAYER_GB2BGR,
    "cv_bayerrg": cv2.COLOR_BAYER_RG2BGR,
    "cv_bayergr": cv2.COLOR_BAYER_GR2BGR,
}


def is_imgstore(path: Path) -> bool:
    """Whether a path is an imgstore's folder or its `metadata.yaml`."""
    metadata = Path(imgstore_folder(path), IMGSTORE_METADATA)
    return metadata.is_file() and IMGSTORE_KEY.encode() in metadata.read_bytes()


class ImgStore(FrameStore):
    """Frames by number; a few video chunks stay open."""

    def __init__(self, path: Path, *, thread_count: int) -> None:
        self._folder = Path(imgstore_folder(path))
        self._thread_count = thread_count
        self._open_chunks: OrderedDict[int, ContainerReader] = OrderedDict()
        self._store = StoreFormat.read(self._folder)
        if self._store.encoding and self._store.encoding not in _BAYER_CODES:
            raise store_unreadable(self._folder, f"encodes colour as {self._store.encoding}")
        whole = StoreIndex.read(self._folder, self._store)
        last_chunk = int(whole.chunks_F.max())
        self._index = whole.without(last_chunk, self._readable_count(last_chunk, whole))
        if not self._index.frame_count:
            raise store_unreadable(self._folder, "is cut off before its first frame ends")
        self.frames = StoredFrames(
            path,
            int(self._index.numbers_F[-1]) + 1,
            self._index.numbers_F,
            hash_images([self._folder / IMGSTORE_METADATA, *self._files()]),
            missing_frame_count=None
            if whole.has_lost_chunks
            else whole.frame_count - self._index.frame_count,
            fps=self._index.fps,
        )

    def pixels(self, frame_index: int) -> Pixels:
        """Returns the picture in RGB order."""
        row = self._row(frame_index)
        chunk, place = int(self._index.chunks_F[row]), int(self._index.places_F[row])
        try:
            stored_HWC = (
                self._chunk(chunk).read(place)
                if self._store.is_video
                else _image(self._image_path(chunk, place))
            )
            if not self._store.encoding:
                return stored_HWC
            return to_rgb(cv2.cvtColor(stored_HWC, _BAYER_CODES[self._store.encoding]))
        except (ShoalError, OSError, ValueError, EOFError, cv2.error) as error:
            raise unreadable_frame(
                frame_index, self.name_of(frame_index), "copy the store again"
            ) from error

    def name_of(self, frame_index: int) -> str:
        """Returns the frame and the file of its chunk."""
        row = self._row(frame_index)
        chunk, place = int(self._index.chunks_F[row]), int(self._index.places_F[row])
        if not self._store.is_video:
            return str(self._image_path(chunk, place))
        return f"picture {place} of {self._video_path(chunk)}"

    def time_ms(self, frame_index: int) -> float | None:
        """Returns the camera's time of a frame."""
        times_s_F = self._index.times_s_F
        return 1000 * float(times_s_F[self._row(frame_index)] - times_s_F[0])

    def close(self) -> None:
        """Closes the chunks."""
        while self._open_chunks:
            self._open_chunks.popitem()[1].close()

    def _row(self, frame_index: int) -> int:
        numbers_F = self._index.numbers_F
        row = int(np.searchsorted(numbers_F, frame_index))
        if row == len(numbers_F) or numbers_F[row] != frame_index:
            raise OutOfRange(
                "FRAME_NOT_STORED",
                f"Frame {frame_index} is not in {self.frames.path}: its camera skipped this "
                "number; ask for one that is there.",
                frame_index=frame_index,
                path=self.frames.path,
            )
        return row

    def _readable_count(self, chunk: int, index: StoreIndex) -> int:
        """Returns how many pictures of the last chunk are there: a crash cuts it off."""
        count = int(index.places_F[index.chunks_F == chunk].max()) + 1
        if not self._store.is_video:
            while count and not self._image_path(chunk, count - 1).is_file():
                count -= 1
            return count
        try:
            return min(count, self._chunk(chunk).info.frame_count)
        except InvalidArgument:
            return 0

    def _chunk(self, chunk: int) -> ContainerReader:
        reader = self._open_chunks.pop(chunk, None)
        if reader is None:
            if len(self._open_chunks) == _OPEN_CHUNK_LIMIT:
                self._open_chunks.popitem(last=False)[1].close()
            reader = ContainerReader(
                self._video_path(chunk),
                channels=3 if self._store.is_color else 1,
                thread_count=self._thread_count,
            )
        self._open_chunks[chunk] = reader
        return reader

    def _files(self) -> list[Path]:
        chunks_F, places_F = self._index.chunks_F, self._index.places_F
        if self._store.is_video:
            return [self._video_path(int(chunk)) for chunk in np.unique(chunks_F)]
        rows = zip(chunks_F.tolist(), places_F.tolist(), strict=True)
        return [path for chunk, place in rows if (path := self._image_path(chunk, place)).is_file()]

    def _video_path(self, chunk: int) -> Path:
        return self._folder / f"{chunk:06d}{self._store.suffix}"

    def _image_path(self, chunk: int, place: int) -> Path:
        return self._folder / f"{chunk:06d}" / f"{place:06d}{self._store.suffix}"


def _image(path: Path) -> Pixels:
    """Returns the pixels [H, W, C] of an image file or of a saved array in OpenCV's order."""
    if path.suffix != ".npy":
        return decode_pixels(path.read_bytes())
    stored = np.load(path, allow_pickle=False)
    if stored.dtype not in (np.uint8, np.uint16) or stored.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(f"{path} holds {stored.dtype} of shape {stored.shape}")
    return to_rgb(stored.squeeze(2) if stored.shape[2:] == (1,) else stored)

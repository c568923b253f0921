"""Reads a folder of images as a video, in natural order (img2 before img10)."""

import os
from pathlib import Path

from shoal_core.errors import InvalidArgument
from shoal_core.image_names import frame_names
from shoal_media.content_hash import hash_images
from shoal_media.frames import Pixels, decode_pixels
from shoal_media.readers.frame_store import (
    FrameStore,
    StoredFrames,
    all_indices,
    unreadable_frame,
)


class ImageFolder(FrameStore):
    """Images of equal size and depth."""

    def __init__(self, path: Path) -> None:
        self._images = [path / name for name in frame_names(os.listdir(path))]
        if not self._images:
            raise InvalidArgument(
                "VIDEO_EMPTY",
                f"{path} holds no png, jpg, tif or bmp images; give the folder that does.",
                path=path,
            )
        count = len(self._images)
        self.frames = StoredFrames(path, count, all_indices(count), hash_images(self._images))

    def pixels(self, frame_index: int) -> Pixels:
        """Returns the decoded image."""
        try:
            return decode_pixels(self._images[frame_index].read_bytes())
        except (InvalidArgument, OSError) as error:
            raise unreadable_frame(
                frame_index, self.name_of(frame_index), "replace or remove the image"
            ) from error

    def name_of(self, frame_index: int) -> str:
        """Returns the path of the image."""
        return str(self._images[frame_index])

    def close(self) -> None:
        """Forgets the images; none is open between reads."""
        self._images = []

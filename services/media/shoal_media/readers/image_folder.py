"""Reads a folder of images as a video, in natural order (img2 before img10).

Axis legend: H height, W width, C channels (1 = gray, 3 = RGB).
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import DataLoss, InvalidArgument
from shoal_media.content_hash import hash_images
from shoal_media.frames import Channels, decode_image, with_channels
from shoal_media.readers.reader import VideoInfo, VideoReader

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


class ImageFolderReader(VideoReader):
    """Frames from a folder of images of equal size; see `open_video` for arguments and errors."""

    def __init__(self, path: Path, *, channels: Channels | None) -> None:
        self._images = sorted(
            (
                image
                for image in path.iterdir()
                if image.suffix.lower() in _SUFFIXES and not image.name.startswith(".")
            ),
            key=_natural_key,
        )
        if not self._images:
            raise InvalidArgument(
                "VIDEO_EMPTY",
                f"{path} holds no png, jpg, tif or bmp images; give the folder that does.",
                path=path,
            )
        super().__init__(_describe(path, self._images), channels)

    def _decode_into(self, frame_index: int, out_HWC: NDArray[np.uint8]) -> None:
        image = self._images[frame_index]
        try:
            frame_HWC = _image(image)
        except (InvalidArgument, OSError) as error:
            raise DataLoss(
                "FRAME_UNREADABLE",
                f"Frame {frame_index} cannot be read from {image}; replace or remove the image.",
                frame_index=frame_index,
                path=image,
            ) from error
        if frame_HWC.shape[:2] != out_HWC.shape[:2]:
            raise DataLoss(
                "FRAME_UNREADABLE",
                f"{image} has {frame_HWC.shape[1]}x{frame_HWC.shape[0]} px, the first image has "
                f"{out_HWC.shape[1]}x{out_HWC.shape[0]} px; keep one size in a folder.",
                frame_index=frame_index,
                path=image,
            )
        if self._info.is_gray and frame_HWC.shape[2] > self._channels:
            np.copyto(out_HWC, frame_HWC[..., :1])
        else:
            np.copyto(out_HWC, with_channels(frame_HWC, self._channels))

    def _release(self) -> None:
        self._images = []


def _describe(path: Path, images: list[Path]) -> VideoInfo:
    sampled = [images[place] for place in sorted({0, len(images) // 2, len(images) - 1})]
    try:
        frames = [_image(image) for image in sampled]
    except (InvalidArgument, OSError) as error:
        raise InvalidArgument(
            "VIDEO_UNREADABLE", f"{path} holds an unusable image: {error}", path=path
        ) from error
    height, width, _ = frames[0].shape
    keyframe_indices_K = np.arange(len(images), dtype=np.int64)
    keyframe_indices_K.flags.writeable = False
    return VideoInfo(
        path=path,
        frame_count=len(images),
        height_px=height,
        width_px=width,
        fps=None,
        is_gray=all((frame_HWC == frame_HWC[..., :1]).all() for frame_HWC in frames),
        keyframe_indices_K=keyframe_indices_K,
        content_hash=hash_images(images),
        missing_frame_count=0,
    )


def _image(path: Path) -> NDArray[np.uint8]:
    return decode_image(path.read_bytes())


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts digits by value and the rest by letter, regardless of case; ties by exact name."""
    parts = re.split(r"(\d+)", path.name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]
    return [*key, (1, 0, path.name)]

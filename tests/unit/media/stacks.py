"""Videos that are stored as single pictures, made from `scene`, and what they must give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from .camera_files import write_image_store, write_seq, write_seq_of_files
from .videos import scene

FRAME_COUNT = 24
Stack = NDArray[Any]


def gray_FHW() -> NDArray[np.uint8]:
    return np.stack([scene(index)[..., 0] for index in range(FRAME_COUNT)])


def rgb_FHWC() -> NDArray[np.uint8]:
    rgb = np.stack([scene(index) for index in range(FRAME_COUNT)])
    rgb[..., 1] //= 2
    rgb[..., 2] = 255 - rgb[..., 2]
    return rgb


def deep_FHW() -> NDArray[np.uint16]:
    """12-bit levels in 16 bits; the first frame has the smallest and the largest."""
    deep = gray_FHW().astype(np.uint16) * 16 + 5
    deep[0, -1, -2:] = (2, 4095)
    return deep


def windowed(deep: Stack, low: int, high: int) -> NDArray[np.uint8]:
    """The definition of the window, in floating point."""
    shown = (np.clip(deep, low, high).astype(np.float64) - low) * 255 / (high - low)
    return np.floor(shown + 0.5).astype(np.uint8)


def write_tiff(**options: Any) -> Callable[[Path, Stack], Path]:
    def write(folder: Path, stack: Stack) -> Path:
        photometric = "rgb" if stack.ndim == 4 else "minisblack"
        tifffile.imwrite(folder / "stack.tif", stack, photometric=photometric, **options)
        return folder / "stack.tif"

    return write


def write_pages(folder: Path, stack: Stack) -> Path:
    """Each page beside its own directory, as a camera writes them."""
    with tifffile.TiffWriter(folder / "pages.tif") as writer:
        for page in stack:
            writer.write(page, contiguous=False, metadata=None)
    return folder / "pages.tif"


def write_hdf5(**options: Any) -> Callable[[Path, Stack], Path]:
    def write(folder: Path, stack: Stack) -> Path:
        with h5py.File(folder / "data.h5", "w") as file:
            file.create_dataset("session/frames", data=stack, **options)
            file.create_dataset("times", data=np.arange(len(stack)))
        return folder / "data.h5"

    return write


def write_channels_first(folder: Path, stack: Stack) -> Path:
    pages = stack[:, np.newaxis] if stack.ndim == 3 else np.moveaxis(stack, -1, 1)
    return write_hdf5()(folder, pages)


def write_images(folder: Path, stack: Stack) -> Path:
    (folder / "images").mkdir()
    for index, page in enumerate(stack):
        pixels = page[..., ::-1] if page.ndim == 3 else page
        cv2.imwrite(str(folder / "images" / f"{index}.png"), pixels)
    return folder / "images"


def write_package(
    path: Path, frames: dict[int, Stack], *, format_id: float = 1.2, channel_order: str = ""
) -> Path:
    """A `.pkg.slp` with the images encoded by OpenCV from `frames` as they are."""
    encoded = [cv2.imencode(".png", frame)[1].astype(np.int8) for frame in frames.values()]
    with h5py.File(path, "w") as file:
        file.create_group("metadata").attrs["format_id"] = format_id
        video = file.create_dataset(
            "video0/video", (len(frames),), h5py.special_dtype(vlen=np.int8)
        )
        for row, image in enumerate(encoded):
            video[row] = image
        video.attrs["format"] = "png"
        if channel_order:
            video.attrs["channel_order"] = channel_order
        file["video0/frame_numbers"] = list(frames)
        source = file.create_group("video0/source_video")
        source.attrs["json"] = '{"backend": {"filename": "D:\\\\data\\\\flies.mp4"}}'
    return path


WRITERS: dict[str, Callable[[Path, Stack], Path]] = {
    "tiff": write_tiff(),
    "tiff of ImageJ": write_tiff(imagej=True),
    "tiff with one directory for all": write_tiff(truncate=True),
    "tiff, big": write_tiff(bigtiff=True),
    "tiff, big-endian": write_tiff(byteorder=">"),
    "tiff, deflated": write_tiff(compression="zlib", predictor=True),
    "tiff, page by page": write_pages,
    "hdf5": write_hdf5(),
    "hdf5, chunks of frames": write_hdf5(chunks=True, compression="gzip"),
    "hdf5, channels first": write_channels_first,
    "images": write_images,
    "norpix 3": write_seq(3),
    "norpix 5": write_seq(5),
    "norpix of images": write_seq_of_files(".png", version=3),
    "imgstore of images": write_image_store(".png"),
    "imgstore of arrays": write_image_store(".npy"),
}
STACKS: dict[str, Callable[[], Stack]] = {"gray": gray_FHW, "rgb": rgb_FHWC, "16-bit": deep_FHW}

"""What recording programs write: Norpix sequences and imgstores, byte by byte."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

Stack = NDArray[Any]
FIRST_SECOND = 1_600_000_000
STEP_US = 33_337
CHUNK_FRAMES = 10


def seq_header(
    *,
    version: int,
    size_px: tuple[int, int],
    bits: int,
    image_bytes: int,
    image_format: int,
    count: int,
    stride: int,
    compression: int = 0,
) -> bytes:
    head = struct.pack(
        "<I24sii512s",
        *(0xFEED, "Norpix seq".encode("utf-16-le"), version, 1024, b""),
    )
    height, width = size_px
    numbers = (width, height, bits, min(bits, 8), image_bytes, image_format, count, 0, stride)
    head += struct.pack("<9Id", *numbers, 30.0)
    return head.ljust(620, b"\0") + struct.pack("<I", compression).ljust(1024 - 620, b"\0")


def seq_time(index: int) -> bytes:
    microseconds = index * STEP_US
    seconds, rest = divmod(microseconds, 1_000_000)
    return struct.pack("<IHH", FIRST_SECOND + seconds, rest // 1000, rest % 1000)


def write_seq(version: int, *, count: int | None = None) -> Callable[[Path, Stack], Path]:
    """Uncompressed; `count` is the number that the header announces, if not the true one."""

    def write(folder: Path, stack: Stack) -> Path:
        stored = stack[..., ::-1] if stack.ndim == 4 else stack
        images = [image.astype(image.dtype.newbyteorder("<")).tobytes() for image in stored]
        stride = len(images[0]) + 8 + 500
        head = seq_header(
            version=version,
            size_px=stack.shape[1:3],
            bits=8 * stack.itemsize * (3 if stack.ndim == 4 else 1),
            image_bytes=len(images[0]),
            image_format=200 if stack.ndim == 4 else 100,
            count=len(stack) if count is None else count,
            stride=stride,
        )
        with (folder / "camera.seq").open("wb") as file:
            file.write(head.ljust(8192 if version >= 5 else 1024, b"\0"))
            for index, image in enumerate(images):
                file.write((image + seq_time(index)).ljust(stride, b"\0"))
        return folder / "camera.seq"

    return write


def write_seq_of_files(
    suffix: str, *, version: int, padding: int = 0, count: int | None = None
) -> Callable[[Path, Stack], Path]:
    """Each image is a JPEG or PNG file with its length before it."""
    image_format, compression = {".png": (1, 0), ".jpg": (102, 0)}[suffix]
    if version >= 4:
        image_format, compression = 100, 1

    def write(folder: Path, stack: Stack) -> Path:
        images = [
            cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image)[1].tobytes()
            for image in stack
        ]
        head = seq_header(
            version=version,
            size_px=stack.shape[1:3],
            bits=8,
            image_bytes=stack[0].nbytes,
            image_format=image_format,
            count=len(stack) if count is None else count,
            stride=0,
            compression=compression,
        )
        with (folder / "camera.seq").open("wb") as file:
            file.write(head)
            for index, image in enumerate(images):
                file.write(struct.pack("<I", len(image) + 4) + image + seq_time(index))
                file.write(bytes(padding))
        return folder / "camera.seq"

    return write


def write_store_metadata(folder: Path, stack: Stack, **store: Any) -> None:
    entries = {
        **{"imgshape": list(stack.shape[1:]), "imgdtype": stack.dtype.name, "version": 2},
        **{"chunksize": CHUNK_FRAMES, "encoding": None},
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"__store": entries | store}))


def write_chunk_index(path: Path, numbers: Sequence[int]) -> None:
    """As imgstore writes it: the description of the store is in it as well."""
    np.savez(
        path,
        frame_number=np.array(numbers),
        frame_time=FIRST_SECOND + np.array(numbers) * 0.04,
        encoding=np.array(None),
    )


def write_image_store(
    suffix: str, *, numbers: Sequence[int] | None = None
) -> Callable[[Path, Stack], Path]:
    """Chunks are folders of images."""

    def write(folder: Path, stack: Stack) -> Path:
        store = folder / "store"
        store.mkdir()
        write_store_metadata(store, stack, **{"class": "DirectoryImgStore", "format": suffix[1:]})
        frame_numbers = list(range(len(stack))) if numbers is None else list(numbers)
        for first in range(0, len(stack), CHUNK_FRAMES):
            chunk = store / f"{first // CHUNK_FRAMES:06d}"
            chunk.mkdir()
            for place, image in enumerate(stack[first : first + CHUNK_FRAMES]):
                pixels = image[..., ::-1] if image.ndim == 3 else image
                if suffix == ".npy":
                    np.save(chunk / f"{place:06d}.npy", pixels)
                else:
                    cv2.imwrite(str(chunk / f"{place:06d}{suffix}"), pixels)
            write_chunk_index(chunk / "index.npz", frame_numbers[first : first + CHUNK_FRAMES])
        return store

    return write

"""Frames that travel with a model, and what its training found in them: `parity.npz`.

Axis legend: F frames, H W frame pixels, C channels, J crops, I instances, N nodes, 2 = (x, y).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.contract import CROP_STAGES
from shoal_core.errors import InvalidArgument
from shoal_serving.importing.shoal_config import ShoalConfig

_MAX_FRAMES = 16
_MAX_IMAGE_BYTES = 64 << 20
_MAX_BYTES = 80 << 20
_DAMAGED = (BadZipFile, EOFError, KeyError, NotImplementedError, OSError, RuntimeError)
"""What broken archives raise; ValueError comes of arrays that are not as described."""


@dataclass(frozen=True, eq=False)
class ParityFrames:
    """Frames and results that an import has to reproduce."""

    images_FHWC: NDArray[np.uint8]
    centroids_px_FJ2: NDArray[np.float32] | None
    """Where crops are cut, NaN for none; None where whole frames are seen."""
    points_px_FIN2: NDArray[np.float32]
    """NaN for nodes that were not found, and for no instance."""
    class_indices_FI: NDArray[np.int64] | None
    """-1: no class; None of models without identities."""


def read_parity_frames(path: Path, config: ShoalConfig) -> ParityFrames:
    """Returns the frames of a model.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, or MODEL_FILE_DAMAGED when arrays are missing, too
            large or not of the shapes that the model has.
    """
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{path.parent} has no {path.name}, against which the import is checked; copy it "
            "from the training run.",
            file=path,
        )
    try:
        return _parse(_read(path), config)
    except (*_DAMAGED, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise InvalidArgument(
            "MODEL_FILE_DAMAGED",
            f"{path} cannot be read ({type(error).__name__}: {problem}); copy it from the "
            "training run again.",
            file=path,
        ) from error


def _read(path: Path) -> Mapping[str, NDArray[Any]]:
    with ZipFile(path) as archive:
        byte_count = sum(entry.file_size for entry in archive.infolist())
    if byte_count > _MAX_BYTES:
        raise ValueError(f"it unpacks to more than {_MAX_BYTES >> 20} MiB")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _parse(arrays: Mapping[str, NDArray[Any]], config: ShoalConfig) -> ParityFrames:
    sees_crops = config.stage in CROP_STAGES
    names = {"images", "points_px"}
    names |= {"centroids_px"} if sees_crops else set()
    names |= {"class_indices"} if config.classes else set()
    if set(arrays) != names:
        raise ValueError(f"it holds {', '.join(sorted(arrays))[:100]}")
    images = _array(arrays, "images", np.uint8, (None, None, None, None))
    frame_count = len(images)
    if not 1 <= frame_count <= _MAX_FRAMES or images.nbytes > _MAX_IMAGE_BYTES:
        raise ValueError(f"images have {frame_count} frames and {images.nbytes} bytes")
    if images.shape[3] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"images have shape {list(images.shape)}")
    points = _array(
        arrays, "points_px", np.float32, (frame_count, None, len(config.skeleton.nodes), 2)
    )
    instances = (frame_count, points.shape[1])
    centroids = classes = None
    if sees_crops:
        centroids = _array(arrays, "centroids_px", np.float32, (frame_count, None, 2))
    if config.classes:
        classes = _array(arrays, "class_indices", np.int64, instances)
        if classes.size and not -1 <= classes.min() <= classes.max() < len(config.classes):
            raise ValueError(f"class_indices go from {classes.min()} to {classes.max()}")
    return ParityFrames(
        images_FHWC=images,
        points_px_FIN2=points,
        centroids_px_FJ2=centroids,
        class_indices_FI=classes,
    )


def _array(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: Any, shape: tuple[int | None, ...]
) -> NDArray[Any]:
    array = arrays[name]
    fits = array.ndim == len(shape) and all(
        length in (None, actual) for length, actual in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")
    return array

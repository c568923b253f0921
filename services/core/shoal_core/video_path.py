"""How videos are named that are more, or less, than a file.

A video inside a file that holds several is `file.h5#dataset/path`. An imgstore is the folder that
holds its `metadata.yaml`, or that file.
"""

import re
from pathlib import PurePath, PurePosixPath

IMGSTORE_METADATA = "metadata.yaml"
"""The file that makes a folder of chunks an imgstore, if it holds IMGSTORE_KEY."""
IMGSTORE_KEY = "__store"
"""Where that file describes the store, beside what its user noted."""

_DATASET = re.compile(r"(.*?\.(?:h5|hdf5|slp))#(.+)", re.IGNORECASE | re.DOTALL)


def split_dataset(path: str) -> tuple[str, str | None]:
    """Returns the file and the dataset that a path names; None where it names no dataset."""
    named = _DATASET.fullmatch(path)
    return (path, None) if named is None else (named[1], named[2])


def imgstore_folder(path: PurePath) -> PurePath:
    """Returns the folder of the imgstore that a path names, if it names one."""
    return path.parent if path.name == IMGSTORE_METADATA else path


def video_file_name(path: str) -> str:
    """Returns what a video is called on every machine.

    Its file, or the folder of its images or its imgstore; not which dataset of the file it is,
    which labels do not say in their file name.
    """
    file, _ = split_dataset(path.replace("\\", "/"))
    return imgstore_folder(PurePosixPath(file)).name

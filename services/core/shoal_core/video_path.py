"""The name of a video inside a file that holds several: `file.h5#dataset/path`."""

import re

_DATASET = re.compile(r"(.*?\.(?:h5|hdf5|slp))#(.+)", re.IGNORECASE | re.DOTALL)


def split_dataset(path: str) -> tuple[str, str | None]:
    """Returns the file and the dataset that a path names; None where it names no dataset."""
    named = _DATASET.fullmatch(path)
    return (path, None) if named is None else (named[1], named[2])

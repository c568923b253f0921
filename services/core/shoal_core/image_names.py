"""Which files of a folder are the frames of a video made of images, and in which order.

Readers that decode such a folder and exports that list its files must agree on it.
"""

import re
from collections.abc import Iterable
from pathlib import PurePath

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
"""What counts as an image in a folder, in lower case."""


def frame_names(names: Iterable[str]) -> list[str]:
    """Returns the names that are frames, in the order of their frame indices.

    Frames are png, jpg, tif and bmp files that are not hidden. Their order is the natural one
    (img2 before img10): digits by value, the rest by letter regardless of case, ties by exact
    name.
    """
    frames = (name for name in names if PurePath(name).suffix.lower() in IMAGE_SUFFIXES)
    return sorted((name for name in frames if not name.startswith(".")), key=_natural_key)


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]
    return [*key, (1, 0, name)]

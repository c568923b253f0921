"""Frames as SLEAP writes them: `0-255` includes both ends."""

import re

from shoal_core.errors import InvalidArgument

_FORM = re.compile(r"(\d+)(?:-(\d+))?")


def parse_frames(text: str) -> range:
    """Returns the frames of `FIRST-LAST`, both included, or of a single `FRAME`.

    Raises:
        InvalidArgument: FRAMES_INVALID.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"{text!r} is not a range of frames; write FIRST-LAST, for example 0-255.",
            frames=text,
        )
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"The frames {text} end before they start; write the lower one first.",
            frames=text,
        )
    return range(first, last + 1)

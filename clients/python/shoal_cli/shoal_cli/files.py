"""Files that are there as a whole or not at all."""

import os
from pathlib import Path

from shoal_core.errors import FailedPrecondition


def write_whole(path: Path, text: str) -> None:
    """Replaces a file; what was there stays if that fails.

    Raises:
        FailedPrecondition: OUTPUT_INVALID.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise FailedPrecondition(
            "OUTPUT_INVALID",
            f"{path} cannot be written ({error.strerror}); choose another place.",
            path=path,
        ) from error

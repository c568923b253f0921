"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path

from shoal_core.errors import FailedPrecondition, InvalidArgument


def check_not_read(output: Path, reads: Iterable[Path]) -> None:
    """Refuses an output that is one of the files that are read, under whatever name.

    Raises:
        InvalidArgument: OUTPUT_INVALID.
    """
    for read in reads:
        if output.exists() and read.exists() and output.samefile(read):
            raise InvalidArgument(
                "OUTPUT_INVALID", f"{read} is read and would be written; choose another output."
            )


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

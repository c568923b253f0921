"""Files that processes write what happens to: bounded, and never a reason to end."""

import contextlib
import io
import os
import shutil
import time
from pathlib import Path

LARGEST_LOG_BYTES = 8 * 1024 * 1024
"""A log that has grown to this becomes `.log.1`, and the one before it goes."""


def open_log(path: Path) -> io.BufferedWriter:
    """Returns a log to append to; one that goes nowhere if the disk or the rights forbid it."""
    trim(path)
    try:
        return path.open("ab")
    except OSError:  # what a service would say is worth less than the service
        return Path(os.devnull).open("ab")


def trim(path: Path) -> bool:
    """Moves what a log holds out of the way if it is much; returns whether it did.

    Whoever has it open for appending goes on at its new start. A line that is written in
    between may be lost.
    """
    try:
        if path.stat().st_size < LARGEST_LOG_BYTES:
            return False
        with contextlib.suppress(OSError):  # even where a full disk keeps no copy: here is room
            shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)
    except OSError:
        return False
    return True


def last_line(path: Path, start: int = 0) -> str:
    """Returns the last line that is not blank, from byte `start` of a text file on."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")[:500]


def stamped(name: str, message: str) -> str:
    """Returns a line of a log, as services write theirs."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}: {message}\n"

"""What the command says on standard error: one line each, headed by its name."""

import contextlib
import sys


def error(message: str) -> None:
    """Says why the command fails."""
    _write(f"shoal: {message}")


def warning(message: str) -> None:
    """Says, loudly, what is probably not wanted although the command goes on."""
    mark = "\033[1;33mWARNING\033[0m" if sys.stderr.isatty() else "WARNING"
    _write(f"shoal: {mark}: {message}")


def _write(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that has gone reads nothing
        sys.stderr.write(" ".join(line.split()) + "\n")
        sys.stderr.flush()

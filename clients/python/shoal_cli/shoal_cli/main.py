"""The `shoal` command: one line for an error, never a traceback."""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from shoal_cli import messages
from shoal_cli.ensemble.home import current_home
from shoal_cli.interruption import Interrupted, interrupt_on_termination
from shoal_cli.parser import build_parser, with_dashes
from shoal_core.errors import Internal, ShoalError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    0 success · 1 an error, in one line on standard error · 2 wrong usage · 128 + n signal n.
    """
    logging.basicConfig(handlers=[logging.NullHandler()])
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser().parse_args([with_dashes(word) for word in words])
    arguments.command_line = " ".join(["shoal", *words])[:200]
    interrupt_on_termination()
    return carry_out(arguments)


def carry_out(arguments: argparse.Namespace) -> int:
    """Runs the command of parsed arguments; returns the exit status, whatever happens."""
    try:
        return int(arguments.run(arguments))
    except ShoalError as error:
        messages.error(_with_log(error))
        return 1
    except Interrupted as error:
        messages.error(error.message)
        return 128 + error.signal_number
    except KeyboardInterrupt:
        messages.error("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # whoever read the output has gone
    except Exception as error:  # noqa: BLE001 -- last line of defence: a bug, in one line
        messages.error(_report_bug(error))
        return 1


def _with_log(error: ShoalError) -> str:
    if isinstance(error, Internal):
        return f"{error.message} The logs are in {current_home().logs}."
    return error.message


def _report_bug(error: Exception) -> str:
    """Returns one line about a bug after its traceback has gone to the log."""
    summary = f"a bug in Shoal: {type(error).__name__}: {error}"
    log = current_home().log_file("shoal")
    return f"{summary}; {_append(log, traceback.format_exc())}"


def _append(log: Path, text: str) -> str:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(text)
    except OSError as error:
        return f"its traceback could not be written ({error.strerror})."
    return f"its traceback is in {log}."

"""Runs a program that must not outlive the process that wants it.

Usage: python -I leash.py COMMAND [ARGUMENT]...

The standard input is the leash: when its other end is gone, however that ended, the program is
killed. Whatever it has started ends with it, also what has a session of its own, as the processes
that torchrun starts. Ends as the program does. Needs nothing but the standard library, so that it
starts at once.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
"""From <linux/prctl.h>: processes that lose their parent become children of this one."""


def main() -> int:
    """Returns the program's exit status; of one that a signal killed, 128 and the signal."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    killing = threading.Lock()
    threading.Thread(target=_end_with_input, args=(killing,), name="leash", daemon=True).start()
    # Asked to end, it is the program that decides when.
    signal.signal(signal.SIGTERM, lambda number, _: program.send_signal(number))
    status = program.wait()
    with killing:
        _kill_all()
    return status if status >= 0 else 128 - status


def _end_with_input(killing: threading.Lock) -> None:
    while os.read(0, 4096):
        pass
    with killing:
        _kill_all()
        os.kill(os.getpid(), signal.SIGKILL)


def _kill_all() -> None:
    """Kills the children, then theirs, which are this process's own by then."""
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with suppress(ChildProcessError):  # the program itself, waited for elsewhere
                os.waitpid(child, 0)


def _children() -> list[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


if __name__ == "__main__":
    sys.exit(main())

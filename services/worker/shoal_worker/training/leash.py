"""Runs a program that must not outlive the process that wants it.

Usage: python -I leash.py COMMAND [ARGUMENT]...

The standard input is the leash: when its other end is gone, however that ended, the whole
process group is killed. Ends as the program does. Needs nothing but the standard library, so
that it starts at once.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Returns the program's exit status; of one that a signal killed, 128 and the signal."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, name="leash", daemon=True).start()
    # Asked to end, it is the program that decides when.
    signal.signal(signal.SIGTERM, lambda number, _: program.send_signal(number))
    status = program.wait()
    return status if status >= 0 else 128 - status


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

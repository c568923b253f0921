"""A conversion child whose importer does what its first argument says."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shoal_serving.conversion import run_child
from tests.fakes.model_versions import write_version


def full_disk(folders: Sequence[Path], destination: Path) -> None:
    destination.mkdir()
    (destination / "half.onnx").write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(destination / "half.onnx"))


def bug(folders: Sequence[Path], destination: Path) -> None:
    raise ZeroDivisionError("secret of the bug")


def hungry(folders: Sequence[Path], destination: Path) -> None:
    bytearray(1 << 40)


def endless(folders: Sequence[Path], destination: Path) -> None:
    (destination.parent / "pid").write_text(str(os.getpid()))  # a FIFO: the test waits for it
    while True:
        time.sleep(60)


def exits(folders: Sequence[Path], destination: Path) -> None:
    os._exit(3)


def chatty(folders: Sequence[Path], destination: Path) -> None:
    sys.stdout.write("a library that prints")
    sys.stdout.flush()
    write_version(folders, destination)


def dies_of(number: signal.Signals) -> Callable[[Sequence[Path], Path], None]:
    def die(folders: Sequence[Path], destination: Path) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    return die


IMPORTERS = {
    "works": write_version,
    "full_disk": full_disk,
    "bug": bug,
    "hungry": hungry,
    "endless": endless,
    "exits": exits,
    "chatty": chatty,
    "killed": dies_of(signal.SIGKILL),
    "aborts": dies_of(signal.SIGABRT),
    "segfaults": dies_of(signal.SIGSEGV),
}

if __name__ == "__main__":
    run_child(IMPORTERS[sys.argv[1]], sys.argv[2:])

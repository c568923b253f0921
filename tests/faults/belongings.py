"""What processes leave behind: other processes, shared memory."""

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

MARK = "SHOAL_FAULTS_MARK"
"""Environment variable by which everything that a bench has started is found."""

_REGIONS = Path("/dev/shm")


def new_mark() -> str:
    """Returns a mark that nobody else has."""
    return secrets.token_hex(8)


def marked(mark: str) -> dict[int, str]:
    """Returns the command lines of the processes with a mark, whoever started them, by id."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found[process.pid] = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def environment(mark: str, **variables: str) -> Mapping[str, str]:
    """Returns the environment of processes with a mark."""
    return {**os.environ, MARK: mark, **variables}


def regions_of(pids: Iterable[int]) -> list[str]:
    """Returns the shared memory that processes, alive or not, have in the file system."""
    return sorted(str(path) for pid in pids for path in _REGIONS.glob(f"shoal-{pid}-*"))


def mapped_regions(pid: int) -> set[str]:
    """Returns the shared memory that a process has mapped, removed files included."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {line.split(maxsplit=5)[5] for line in lines if f"{_REGIONS}/shoal-" in line}

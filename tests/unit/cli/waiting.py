"""Waiting for what other processes do, and finding them."""

import time
from collections.abc import Callable

import psutil


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Returns when the condition holds; fails when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """Returns the processes that a process has started, and those that they have started."""
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}

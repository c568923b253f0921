"""Processes that make things ahead of whoever needs them.

Threads would take turns at Python's lock with the thread that keeps the device busy.
"""

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import cv2

from shoal_core.errors import ResourceExhausted

Job = TypeVar("Job")
Made = TypeVar("Made")

_AHEAD = 2
"""Jobs of each process that are done or waiting, and were not taken yet."""
_END_S = 5.0
"""For the job in hand, when a process is to end."""


class Workers(Generic[Job, Made]):
    """Copies of this process that work for it; they know what it knew when they were started.

    They end with `close`, and with this process, however that ends. Jobs and what they make are
    pickled. A job must not compute with PyTorch, whose threads a copy does not have.
    """

    def __init__(self, make: Callable[[Job], Made], count: int) -> None:
        """Takes what is done with each job, and how many processes do it."""
        self._make = make
        self._count = count
        self._processes: list[Any] = []
        self._connections: list[Connection] = []

    @property
    def are_running(self) -> bool:
        """Whether the processes are there."""
        return bool(self._processes)

    def start(self) -> None:
        """Starts the processes."""
        # A copy would wait for ever for OpenCV's threads, which it does not have.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for _ in range(self._count):
                self._start_one()
        finally:
            cv2.setNumThreads(threads)

    def _start_one(self) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        self._connections.append(ours)
        process = context.Process(
            target=_serve,
            args=(self._make, theirs, tuple(self._connections)),
            name="batches",
            daemon=True,
        )
        process.start()
        theirs.close()
        self._processes.append(process)

    def made(self, jobs: Iterable[Job]) -> Generator[Made]:
        """Yields what the jobs make, in their order; they are begun at most two a process early.

        Raises:
            ResourceExhausted: LOADER_DIED when a process was ended from outside.
            Exception: What a job raised.
        """
        waiting: deque[Connection] = deque()
        try:
            for job, connection in zip(jobs, itertools.cycle(self._connections), strict=False):
                connection.send(job)
                waiting.append(connection)
                if len(waiting) == _AHEAD * self._count:
                    yield _taken(waiting.popleft())
            while waiting:
                yield _taken(waiting.popleft())
        except (EOFError, ConnectionError) as error:
            waiting.clear()
            self.close()
            raise ResourceExhausted(
                "LOADER_DIED",
                "A process that prepares batches was ended, perhaps because memory was short; go "
                "on with --resume, with a lower run.loader_processes or data.cache=disk.",
            ) from error
        finally:
            for connection in waiting:
                with suppress(EOFError, ConnectionError):
                    connection.recv()

    def close(self) -> None:
        """Ends the processes."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(_END_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._connections, self._processes = [], []


def _serve(make: Callable[[Any], Any], jobs: Connection, others: Iterable[Connection]) -> None:
    """Works until nobody is left to work for.

    Args:
        make: What is done with each job.
        jobs: Where they come from and results go.
        others: The other ends of pipes, which were copied too: as long as one is open, its pipe
            does not end with the process that was copied.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the process that was copied
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    with suppress(EOFError, ConnectionError):
        while True:
            jobs.send(_attempted(make, jobs.recv()))


def _attempted(make: Callable[[Any], Any], job: Any) -> tuple[Any, Exception | None]:
    """Returns what a job made, or what it raised."""
    try:
        return make(job), None
    except Exception as error:  # noqa: BLE001 -- raised again where the result is taken
        return None, error


def _taken(connection: Connection) -> Any:
    made, error = connection.recv()
    if error is not None:
        raise error
    return made

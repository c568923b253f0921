import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Value
from multiprocessing.sharedctypes import Synchronized

import cv2
import numpy as np
import pytest

from shoal_core.errors import NotFound, ResourceExhausted
from shoal_training.batch_workers import Workers


def squared(number: int) -> int:
    return number * number


def process_of(job: int) -> int:
    return os.getpid()


@pytest.fixture
def workers() -> Iterator[Workers[int, int]]:
    made = Workers(squared, 3)
    made.start()
    yield made
    made.close()


def test_results_come_in_the_order_of_the_jobs(workers: Workers[int, int]) -> None:
    assert list(workers.made(range(50))) == [number * number for number in range(50)]
    assert list(workers.made([])) == []


def test_what_was_not_taken_does_not_come_later(workers: Workers[int, int]) -> None:
    left = workers.made(range(100, 200))
    assert next(left) == 10_000
    left.close()
    assert list(workers.made([1, 2])) == [1, 4]


def test_opencv_works_here_and_there() -> None:
    image = np.zeros((2000, 2000), np.float32)

    def blurred(job: int) -> float:
        return float(cv2.GaussianBlur(image + job, (0, 0), 3.0).mean())

    blurred(0)  # OpenCV has threads now
    workers = Workers(blurred, 2)
    workers.start()
    assert list(workers.made(range(4))) == pytest.approx([0, 1, 2, 3])
    workers.close()
    assert blurred(1) == pytest.approx(1)


def test_jobs_are_shared_and_done_elsewhere() -> None:
    workers = Workers(process_of, 2)
    workers.start()
    done_by = set(workers.made(range(6)))
    workers.close()
    assert len(done_by) == 2
    assert os.getpid() not in done_by


def test_processes_do_not_run_far_ahead() -> None:
    begun: Synchronized[int] = Value("i", 0)  # type: ignore[assignment]  # its stubs say Any

    def counted(job: int) -> int:
        with begun.get_lock():
            begun.value += 1
        return job

    workers = Workers(counted, 2)
    workers.start()
    results = workers.made(range(100))
    next(results)
    results.close()
    workers.close()
    assert begun.value <= 2 * 2


def test_an_error_comes_out_and_the_process_goes_on() -> None:
    def failing(job: int) -> int:
        if job == 3:
            raise NotFound("GONE", "Job 3 is gone.", job=job)
        return job

    workers = Workers(failing, 2)
    workers.start()
    with pytest.raises(NotFound, match="Job 3"):
        list(workers.made(range(10)))
    assert list(workers.made(range(3))) == [0, 1, 2]
    workers.close()


def test_a_process_that_was_ended_is_told_of() -> None:
    workers = Workers(process_of, 2)
    workers.start()
    os.kill(next(workers.made(range(1))), signal.SIGKILL)
    with pytest.raises(ResourceExhausted) as caught:
        list(workers.made(range(10)))
    assert caught.value.reason == "LOADER_DIED"
    assert not workers.are_running


def test_closing_ends_the_processes() -> None:
    workers = Workers(process_of, 2)
    workers.start()
    processes = set(workers.made(range(4)))
    workers.close()
    assert not any(is_alive(process) for process in processes)


def test_processes_end_with_the_one_that_started_them() -> None:
    program = (
        "import os, signal\n"
        "from shoal_training.batch_workers import Workers\n"
        "def process_of(job): return os.getpid()\n"
        "workers = Workers(process_of, 3)\n"
        "workers.start()\n"
        "print(*workers.made(range(3)), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    )
    processes = [int(word) for word in told.stdout.split()]
    assert len(set(processes)) == 3
    deadline_s = time.monotonic() + 30
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

"""Laws of the watchdog: what is stuck ends the process, what is slow or over does not."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from pytest_asyncio import fixture as async_fixture

from shoal_common.watchdog import STUCK_STATUS, Watchdog
from tests.fakes.clock import FakeClock

LIMIT_SECONDS = 10.0


class Bench:
    """A watchdog whose time a test moves, and what it has said."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[str] = []
        self.watchdog = Watchdog(
            limit_seconds=LIMIT_SECONDS, end=self.said.append, sleep=self.clock.sleep
        )

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            await self.clock.until_someone_sleeps(1.0)
            self.clock.advance(1.0)
        await self.clock.until_someone_sleeps(1.0)


@async_fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.create_task(bench.watchdog.run())
    yield bench
    running.cancel()
    await asyncio.wait([running])


async def test_work_that_does_not_end_is_named(bench: Bench) -> None:
    with bench.watchdog.watching("decoding frame 3"):
        await bench.pass_time(LIMIT_SECONDS)
        assert bench.said == []
        await bench.pass_time(1.0)
    assert bench.said[0].startswith("decoding frame 3 has not come to an end")


async def test_work_may_have_a_limit_of_its_own(bench: Bench) -> None:
    with bench.watchdog.watching("opening", limit_seconds=3 * LIMIT_SECONDS):
        await bench.pass_time(3 * LIMIT_SECONDS)
        assert bench.said == []
        await bench.pass_time(1.0)
    assert bench.said[0].startswith("opening has not come to an end for 31 s")


async def test_work_that_follows_other_work_has_all_the_time(bench: Bench) -> None:
    for _ in range(5):
        with bench.watchdog.watching("one piece"):
            await bench.pass_time(LIMIT_SECONDS - 1)
    assert bench.said == []


async def test_work_that_fails_is_watched_no_longer(bench: Bench) -> None:
    with pytest.raises(RuntimeError), bench.watchdog.watching("broken"):
        raise RuntimeError
    await bench.pass_time(2 * LIMIT_SECONDS)
    assert bench.said == []


async def test_a_thread_that_is_stuck_hides_behind_no_other(bench: Bench) -> None:
    let_go = threading.Event()

    def be_stuck() -> None:
        with bench.watchdog.watching("the stuck one"):
            inside.set()
            let_go.wait(30)

    inside = threading.Event()
    thread = threading.Thread(target=be_stuck)
    thread.start()
    await asyncio.to_thread(inside.wait, 30)
    for _ in range(4):
        with bench.watchdog.watching("a quick one"):
            await bench.pass_time(3.0)
    let_go.set()
    thread.join()
    assert {line.partition(" has")[0] for line in bench.said} == {"the stuck one"}


def test_a_process_whose_loop_hangs_ends_after_its_parent() -> None:
    program = (
        "import asyncio, threading\n"
        "from shoal_common.server import watch_lifeline\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    watch_lifeline(loop, asyncio.Event(), grace_seconds=0.05)\n"
        "    threading.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert ended.returncode == STUCK_STATUS
    assert b"its parent has gone" in ended.stderr

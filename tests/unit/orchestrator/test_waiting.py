"""Leases end when nobody renews them; nobody who waits misses a change."""

import asyncio
import gc
from pathlib import Path

import pytest

from shoal_core.errors import Aborted, Unavailable
from shoal_orchestrator.changes import Changes
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.leases import Leases
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import Count, FrameSpan, LeasedTask, TaskKey, TaskKind
from shoal_orchestrator.schema import sqlite_url
from tests.fakes.clock import FakeClock

KEY = TaskKey("projects/lab/jobs/fly", 0)


def task(token: int = 1, key: TaskKey = KEY) -> LeasedTask:
    return LeasedTask(
        key=key,
        kind=TaskKind.INFER_SEGMENT,
        span=FrameSpan(0, 10),
        fencing_token=token,
        attempt_count=1,
        source_label_set=None,
        result_label_set="projects/lab/labelSets/fly",
        spec=b"",
    )


def test_lease_lasts_its_duration_after_the_last_renewal() -> None:
    leases = Leases(lease_seconds=10)
    lease = leases.add(task(), now_seconds=0)
    assert leases.expired(9.9) == []
    leases.renew(lease, Count(), now_seconds=9.9)
    assert leases.expired(19.8) == []
    assert leases.expired(19.9) == [lease]


def test_lease_is_found_under_its_token_only() -> None:
    leases = Leases(lease_seconds=10)
    leases.add(task(token=1), now_seconds=0)
    newer = leases.add(task(token=2), now_seconds=0)
    assert leases.find(KEY, 1) is None
    assert leases.find(KEY, 2) is newer


def test_nothing_can_end_before_the_next_look() -> None:
    leases = Leases(lease_seconds=10)
    assert leases.seconds_to_next_end(0) == 10
    leases.add(task(), now_seconds=0)
    assert leases.seconds_to_next_end(4) == 6
    assert leases.seconds_to_next_end(40) == 0


def test_leases_of_an_ended_job_are_forgotten_and_no_others() -> None:
    leases = Leases(lease_seconds=10)
    leases.add(task(), now_seconds=0)
    other = leases.add(task(key=TaskKey("projects/lab/jobs/bee", 0)), now_seconds=0)
    leases.drop_job(KEY.job)
    assert leases.expired(10) == [other]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_announcement_is_not_missed_between_looking_and_waiting(when: str) -> None:
    changes = Changes()
    event = changes.next("topic")
    waiting = asyncio.ensure_future(event.wait())
    if when == "after":
        await asyncio.sleep(0)
    changes.announce("topic")
    assert await waiting


async def test_announcement_wakes_its_topic_only_and_once() -> None:
    changes = Changes()
    one, other = changes.next("one"), changes.next("other")
    changes.announce("one")
    assert (one.is_set(), other.is_set(), changes.next("one").is_set()) == (True, False, False)


async def test_closing_wakes_everybody_for_good() -> None:
    changes = Changes()
    event = changes.next("topic")
    changes.close()
    assert event.is_set()
    with pytest.raises(Unavailable) as caught:
        changes.next("topic")
    assert caught.value.reason == "SERVER_STOPPING"


async def test_change_that_fails_when_its_caller_has_gone_is_no_bug(tmp_path: Path) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    clock = FakeClock()
    ledger = await Ledger.open(sqlite_url(tmp_path / "ledger.db"), clock=clock, max_attempts=3)
    dispatcher = Dispatcher(ledger=ledger, leases=Leases(lease_seconds=10), clock=clock)
    renewing = asyncio.create_task(dispatcher.renew(KEY, 1, Count()))
    await asyncio.sleep(0)  # the change has begun
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    with pytest.raises(Aborted):
        await dispatcher.renew(KEY, 1, Count())  # after the other one: changes wait in line
    assert renewing.cancelled()
    del renewing  # its traceback keeps what nobody has looked at
    gc.collect()
    assert complaints == []
    await dispatcher.close()

"""A process that works on a ledger without end and says what it was told: made to be killed.

Usage: python -m tests.fakes.ledger_child LEDGER SEED
"""

import asyncio
import json
import random
import sys
from pathlib import Path

from shoal_core.errors import Unavailable
from shoal_orchestrator.clock import SystemClock
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.records import Count, LeasedTask
from shoal_orchestrator.schema import sqlite_url
from tests.fakes.ledger_jobs import SEGMENT_FRAME_COUNT, new_job


def say(event: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


async def end(ledger: Ledger, task: LeasedTask, dice: random.Random) -> None:
    key, token = task.key, task.fencing_token
    facts = {"job": key.job, "index": key.index, "token": token}
    if dice.random() < 0.7:
        await ledger.complete(key, token, Count(SEGMENT_FRAME_COUNT, 7))
        say("completed", **facts)
    else:
        await ledger.fail(key, token, Unavailable("ENGINE_UNAVAILABLE", "The engine is away."))
        say("given back", **facts)


async def work(path: Path, dice: random.Random) -> None:
    ledger = await Ledger.open(sqlite_url(path), clock=SystemClock(), max_attempts=10**9)
    job_count = 0
    while True:
        task = await ledger.lease("child")
        if task is None:
            job = await ledger.submit(new_job(f"job{job_count}", segment_count=4))
            job_count += 1
            say("submitted", job=job.name)
            continue
        say("leased", job=task.key.job, index=task.key.index, token=task.fencing_token)
        await end(ledger, task, dice)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), random.Random(sys.argv[2])))

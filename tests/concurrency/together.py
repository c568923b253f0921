"""Whether sessions and jobs that run together give what each gives alone."""

import asyncio
import dataclasses
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shoal_client import Shoal, WindowTracker
from shoal_common.channel import open_channel
from tests.concurrency.ensemble import (
    MODELS,
    Ensemble,
    Holding,
    grown,
    settled_regions,
)
from tests.concurrency.sessions import Plan, Recordings, digest, instance_count, run_session

JOBS = {"pair-bottomup": WindowTracker(), "flies-id": None}
"""Model → tracker of the jobs that run beside the sessions."""
WAYS = ("inline", "png", "ref")
SECONDS = 600.0
"""What has not ended by then hangs."""


@dataclass
class Report:
    """What was found; it holds if there are no complaints."""

    complaints: list[str] = field(default_factory=list)
    instance_count: int = 0
    alone_seconds: float = 0.0
    together_seconds: float = 0.0
    before: dict[str, Holding] = field(default_factory=dict)
    after: dict[str, Holding] = field(default_factory=dict)


def plans(session_count: int, frame_count: int) -> list[Plan]:
    """Returns sessions that differ in model, frames, way of travel and tracker."""
    names = list(MODELS)
    return [
        Plan(
            model=names[number % len(names)],
            frames=range(number, number + frame_count),
            way=WAYS[number % len(WAYS)],
            is_tracked=number // len(names) % 2 == 0,
        )
        for number in range(session_count)
    ]


async def compare(
    ensemble: Ensemble, data: Path, *, session_count: int, frame_count: int, job_frame_count: int
) -> Report:
    """Runs every session and job alone, then all of them together, and compares bit for bit."""
    report, recordings = Report(), Recordings(data)
    planned = plans(session_count, frame_count)
    items = [recordings.requests(plan) for plan in planned]
    alone, together = ensemble.client("alone"), ensemble.client("together")

    async def job(shoal: Shoal, model: str) -> str:
        path = recordings.path(model)
        return await asyncio.to_thread(run_job, shoal, path, model, range(job_frame_count))

    async with open_channel(ensemble.tracking_target) as channel, asyncio.timeout(SECONDS):
        begun = time.monotonic()
        jobs_alone = [await job(alone, model) for model in JOBS]
        first = [
            await run_session(channel, plan, each)
            for plan, each in zip(planned, items, strict=True)
        ]
        report.before = ensemble.holdings()
        report.alone_seconds = time.monotonic() - begun
        begun = time.monotonic()
        jobs = asyncio.gather(*(job(together, model) for model in JOBS))
        second = await asyncio.gather(
            *(run_session(channel, plan, each) for plan, each in zip(planned, items, strict=True))
        )
        jobs_together = await jobs
        report.together_seconds = time.monotonic() - begun
        report.after = ensemble.holdings()
    for plan, one, other in zip(planned, first, second, strict=True):
        report.instance_count += instance_count(one)
        if len(one) != frame_count or digest(one) != digest(other):
            report.complaints.append(f"session differs: {plan}")
    for model, one_job, other_job in zip(JOBS, jobs_alone, jobs_together, strict=True):
        if one_job != other_job:
            report.complaints.append(f"job differs: {model}")
    report.complaints += [f"left: {name}" for name in await settled_regions(ensemble)]
    report.complaints += grown(report.before, report.after)
    return report


def run_job(shoal: Shoal, video: Path, model: str, frames: range) -> str:
    """Returns a hash of the poses of a job, bit for bit.

    Raises:
        ShoalError: Whatever made it fail.
    """
    created = shoal.jobs.create_track(
        str(video), f"models/{model}", frames=frames, tracker=JOBS[model]
    )
    *_, ended = shoal.jobs.watch(created.name)
    if ended.error is not None:
        raise ended.error
    hashed = hashlib.sha256()
    indices = []
    for frame in shoal.labels.stream_poses(ended.result_label_set):
        indices.append(frame.frame_index)
        for each in dataclasses.fields(frame):
            hashed.update(np.asarray(getattr(frame, each.name)).tobytes())
    assert indices == list(frames), f"{created.name} has other frames than were asked for"
    return hashed.hexdigest()

"""The task that links the poses of a whole video into tracks, in order."""

import asyncio
from contextlib import aclosing

from shoal_common.convert_parameters import tracker_config
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.tracking import Tracker
from shoal_worker.label_sets import LabelSets, SegmentKey
from shoal_worker.queue import Lease

FRAMES_PER_SEGMENT = 1024
"""Poses that are in memory at a time; as many as an inferred segment has by default."""


async def link(
    lease: Lease, label_sets: LabelSets, *, frames_per_segment: int = FRAMES_PER_SEGMENT
) -> None:
    """Commits the linked poses of every frame, a segment at a time."""
    task = lease.task
    config = tracker_config(task.spec.tracker)
    if config is None:
        raise InvalidArgument("TRACKER_MISSING", f"{task.name} links, but its job has no tracker.")
    tracker = Tracker(config)
    source = await label_sets.get(task.link.source_label_set)
    node_count = len(source.skeleton.nodes)
    start, segment_index = task.spec.range.start, 0
    pending: list[FramePoses] = []

    async def commit(stop: int) -> None:
        nonlocal start, segment_index, pending
        linked = await asyncio.to_thread(lambda: [tracker.update(frame) for frame in pending])
        key = SegmentKey(
            label_set=task.link.result_label_set,
            index=segment_index,
            start=start,
            stop=stop,
            fencing_token=task.fencing_token,
        )
        await label_sets.commit(key, linked, node_count=node_count)
        lease.advance(len(linked), sum(frame.instance_count for frame in linked))
        start, segment_index, pending = stop, segment_index + 1, []

    async with aclosing(label_sets.frames(task.link.source_label_set, 0, 0)) as frames:
        async for frame in frames:
            if len(pending) == frames_per_segment:
                await commit(frame.frame_index)
            pending.append(frame)
    await commit(task.spec.range.stop)

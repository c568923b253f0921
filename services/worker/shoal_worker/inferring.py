"""The task that decodes, infers and groups a segment and commits its poses."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np

from shoal.jobs.v1 import jobs_pb2
from shoal_common.convert_parameters import inference_settings
from shoal_common.frame_ranges import spec_runs
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.deployment import Deployment
from shoal_common.inference.estimator import PoseEstimator
from shoal_common.inference.priority import Priority
from shoal_common.shm import FrameRing
from shoal_core.coordinates import instance_centroids
from shoal_core.frame_runs import within
from shoal_media.readers import VideoInfo
from shoal_worker.label_sets import LabelSets, SegmentKey
from shoal_worker.load import PipelineLoad
from shoal_worker.pipeline import Centroids, Pipeline
from shoal_worker.queue import Lease
from shoal_worker.videos import Videos

logger = logging.getLogger(__name__)


class SegmentWork:
    """Does infer-segment tasks."""

    def __init__(
        self, *, label_sets: LabelSets, videos: Videos, request_count: int, load: PipelineLoad
    ) -> None:
        self._label_sets = label_sets
        self._videos = videos
        self._request_count = request_count
        self._load = load

    async def run(self, lease: Lease, deployment: Deployment) -> None:
        """Commits the poses of the task's frames."""
        task = lease.task
        segment = task.infer_segment
        contract = (await deployment.current()).contract
        reader = await self._videos.open(task.spec.video)
        centroids = await self._centroids(task, contract)
        settings = inference_settings(task.spec.inference)
        height_px, width_px, channels = reader.frame_shape_HWC
        # Every request holds a batch, one more is being decoded and one waits.
        slot_count = (self._request_count + 2) * settings.batch_size
        slot_bytes = height_px * width_px * channels
        async with _ring(deployment, slot_count, slot_bytes) as ring:
            estimator = PoseEstimator(
                deployment=deployment, settings=settings, priority=Priority.BATCH
            )
            pipeline = Pipeline(
                videos=self._videos,
                reader=reader,
                estimator=estimator,
                ring=ring,
                request_count=self._request_count,
                load=self._load,
            )
            poses = await pipeline.run(
                _frame_indices(task, centroids, reader.info),
                centroids=centroids,
                advance=lease.advance,
            )
        if lease.overflow_frame_count:
            logger.warning(
                "%s: in %d frames the model found more than it can return",
                task.name,
                lease.overflow_frame_count,
            )
        key = SegmentKey(
            label_set=segment.label_set,
            index=segment.segment_index,
            start=segment.range.start,
            stop=segment.range.stop,
            fencing_token=task.fencing_token,
        )
        await self._label_sets.commit(key, poses, node_count=len(contract.skeleton.nodes))

    async def _centroids(self, task: jobs_pb2.Task, contract: PoseContract) -> Centroids | None:
        if not task.spec.centroids_label_set:
            return None
        label_set = await self._label_sets.get(task.spec.centroids_label_set)
        nodes = list(label_set.skeleton.nodes)
        anchor = None
        if contract.anchor_part is not None and contract.anchor_part in nodes:
            anchor = nodes.index(contract.anchor_part)
        frame_range = task.infer_segment.range
        frames = self._label_sets.frames(label_set.name, frame_range.start, frame_range.stop)
        return {
            frame.frame_index: instance_centroids(frame.points_px_IN2, anchor).astype(np.float32)
            async for frame in frames
        }


def _frame_indices(
    task: jobs_pb2.Task, centroids: Centroids | None, video: VideoInfo
) -> Sequence[int]:
    """The job's frames in the segment that are there, and where somebody said animals are."""
    segment = task.infer_segment.range
    chosen = within(spec_runs(task.spec), segment.start, segment.stop)
    there = video.frames_between(segment.start, segment.stop)
    held = there if isinstance(there, range) else frozenset(there)
    return [
        index for index in chosen if index in held and (centroids is None or index in centroids)
    ]


@asynccontextmanager
async def _ring(
    deployment: Deployment, slot_count: int, slot_bytes: int
) -> AsyncIterator[FrameRing]:
    """Yields a ring that neither this machine nor the engine remembers afterwards."""
    ring = FrameRing.create(slot_count, slot_bytes)
    try:
        yield ring
    finally:
        ring.close()
        await deployment.forget(ring)

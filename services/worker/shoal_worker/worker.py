"""Leases tasks and does them: the worker's loop."""

import asyncio
import json
import logging
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from shoal.jobs.v1 import jobs_pb2
from shoal.labels.v1 import labels_pb2
from shoal_common import convert
from shoal_common.frame_ranges import spec_runs
from shoal_common.inference.contract import PoseContract
from shoal_common.tracing import trace_id_of, traced
from shoal_common.track_document import CONFIG, track_document
from shoal_core.errors import Internal
from shoal_core.frame_runs import frame_count
from shoal_worker.inferring import SegmentWork
from shoal_worker.label_sets import LabelSets
from shoal_worker.linking import link
from shoal_worker.load import PipelineLoad
from shoal_worker.models import Models
from shoal_worker.queue import Lease, TaskQueue
from shoal_worker.training.work import TrainingWork
from shoal_worker.videos import Videos

logger = logging.getLogger(__name__)

_TRACKING = (jobs_pb2.TASK_KIND_INFER_SEGMENT, jobs_pb2.TASK_KIND_LINK)
_TRAINING = (jobs_pb2.TASK_KIND_TRAIN,)


class Worker:
    """Does one task after another until it is cancelled."""

    def __init__(
        self,
        *,
        queue: TaskQueue,
        label_sets: LabelSets,
        models: Models,
        videos: Videos,
        training: TrainingWork,
        training_task_count: int,
        in_flight_request_count: int,
        load: PipelineLoad,
    ) -> None:
        """Takes what it works with, and where the fullness of its queues is noted."""
        self._queue = queue
        self._label_sets = label_sets
        self._models = models
        self._training = training
        self._training_task_count = training_task_count
        self._segments = SegmentWork(
            label_sets=label_sets,
            videos=videos,
            request_count=in_flight_request_count,
            load=load,
        )

    async def run(self) -> None:
        """Leases and works; never returns.

        Training goes on beside tracking: nobody waits hours for the poses of a short video.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work_on(_TRACKING))
            for _ in range(self._training_task_count):
                group.create_task(self._work_on(_TRAINING))

    async def _work_on(self, kinds: "Sequence[jobs_pb2.TaskKind.ValueType]") -> None:
        while True:
            lease = await self._queue.lease(kinds)
            job = lease.task.name.rpartition("/tasks/")[0]
            with traced(trace_id_of(job)):
                logger.info("%s: begun", lease.task.name)
                await lease.run(self._work(lease))
                logger.info("%s: over", lease.task.name)

    async def _work(self, lease: Lease) -> None:
        task = lease.task
        if task.WhichOneof("work") == "train":
            await self._training.run(lease)
            return
        deployment = await self._models.deployment(task.spec.model_version)
        contract = (await deployment.current()).contract
        match task.WhichOneof("work"):
            case "infer_segment":
                await self._label_sets.create(
                    _label_set(
                        task.infer_segment.label_set,
                        task.spec,
                        contract,
                        track_names=contract.classes,
                    )
                )
                await self._segments.run(lease, deployment)
            case "link":
                # The tracker numbers its own tracks: an ID model's classes do not name them.
                await self._label_sets.create(
                    _label_set(task.link.result_label_set, task.spec, contract, track_names=())
                )
                await link(lease, self._label_sets)
            case unknown:
                raise Internal(
                    "TASK_UNKNOWN", f"This worker does not know how to do {unknown!r}; update it."
                )


def _label_set(
    name: str,
    spec: jobs_pb2.TrackJobSpec,
    contract: PoseContract,
    *,
    track_names: tuple[str, ...],
) -> labels_pb2.LabelSet:
    provenance = {
        "program": "Shoal",
        "version": version("shoal-worker"),
        "model": spec.model_version,
        "model_kind": contract.kind,
        "model_source": contract.source,
        "model_source_hash": contract.source_hash,
        CONFIG: track_document(spec),
        "video": _video(spec),
    }
    return labels_pb2.LabelSet(
        name=name,
        video=spec.video,
        skeleton=convert.skeleton_message(contract.skeleton),
        track_names=track_names,
        provenance_json=json.dumps(provenance, sort_keys=True),
    )


def _video(spec: jobs_pb2.TrackJobSpec) -> dict[str, Any]:
    """Returns what of the video shaped the result: its content, its window, what it lacks."""
    video = spec.video
    known: dict[str, Any] = {"content_hash": video.content_hash}
    if not spec.centroids_label_set:
        known["asked_frame_count"] = frame_count(spec_runs(spec))
    if video.missing_frame_count:
        # None where frames are lost, but nothing says how many.
        known["missing_frame_count"] = max(0, video.missing_frame_count) or None
    if video.HasField("window"):
        known["window"] = [video.window.low, video.window.high]
    return known

"""Servicers with a few canned answers, behind a real socket."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_status import rpc_status

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_client import Targets
from shoal_common import convert
from shoal_common.status import to_status
from shoal_core.errors import NotFound, ShoalError
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton

SKELETON = convert.skeleton_message(Skeleton("fly", ("head", "thorax"), ((0, 1),)))


def abort(context: grpc.ServicerContext, error: ShoalError) -> None:
    context.abort_with_status(rpc_status.to_status(to_status(error)))


class FakeEnsemble(
    decode_pb2_grpc.DecodeServiceServicer,
    serving_pb2_grpc.ServingServiceServicer,
    labels_pb2_grpc.LabelsServiceServicer,
    jobs_pb2_grpc.JobsServiceServicer,
):
    """Every service in one; keeps what it was asked and how long the callers would wait."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.deadlines_s: list[float | None] = []
        self.watched: list[list[jobs_pb2.Job]] = []
        """What each call of WatchJob answers before it waits for the caller to give up."""
        self.models = [f"models/m{index}" for index in range(5)]

    def _note(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.deadlines_s.append(context.time_remaining())

    def ProbeVideo(self, request, context):
        self._note(request, context)
        if "missing" in request.uri:
            abort(context, NotFound("VIDEO_NOT_FOUND", "There is no video.", path=request.uri))
        return decode_pb2.ProbeVideoResponse(
            video={"uri": request.uri, "frame_count": 7, "height_px": 4, "width_px": 6}
        )

    def ImportModel(self, request, context):
        self._note(request, context)
        return serving_pb2.ImportModelResponse(version=version(f"models/{request.model_id}"))

    def ListModels(self, request, context):
        self._note(request, context)
        start = int(request.page_token or 0)
        page = self.models[start : start + 2]
        following = start + 2
        return serving_pb2.ListModelsResponse(
            models=[serving_pb2.Model(name=name, versions=[version(name)]) for name in page],
            next_page_token=str(following) if following < len(self.models) else "",
        )

    def GetModel(self, request, context):
        self._note(request, context)
        model = serving_pb2.Model(name=request.name, versions=[version(request.name)])
        model.aliases.add(name=f"{request.name}/aliases/prod", version=f"{request.name}/versions/1")
        return serving_pb2.GetModelResponse(model=model)

    def CreateTrackJob(self, request, context):
        self._note(request, context)
        return jobs_pb2.CreateTrackJobResponse(job=job(jobs_pb2.JOB_STATE_PENDING, 0))

    def WatchJob(self, request, context):
        self._note(request, context)
        yield from (jobs_pb2.WatchJobResponse(job=job) for job in self.watched.pop(0))
        if self.watched:
            while context.is_active():
                yield_to_deadline(context)

    def ExportLabels(self, request, context):
        self._note(request, context)
        return labels_pb2.ExportLabelsResponse(frame_count=3, instance_count=6)

    def StreamPoses(self, request, context):
        self._note(request, context)
        for start in (0, 2):
            frames = [poses(start), poses(start + 1)]
            yield labels_pb2.StreamPosesResponse(poses=convert.pose_batch(frames, 2))


def yield_to_deadline(context: grpc.ServicerContext) -> None:
    """Waits until the caller has gone."""
    import threading

    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()


def version(model: str) -> serving_pb2.ModelVersion:
    return serving_pb2.ModelVersion(name=f"{model}/versions/1", kind="bottomup", skeleton=SKELETON)


def job(state: jobs_pb2.JobState.ValueType, committed: int) -> jobs_pb2.Job:
    message = jobs_pb2.Job(name="projects/default/jobs/a", state=state)
    message.progress.total_frame_count = 10
    message.progress.committed_frame_count = committed
    if state == jobs_pb2.JOB_STATE_FAILED:
        message.error.CopyFrom(to_status(NotFound("VIDEO_NOT_FOUND", "Gone.")))
    return message


def poses(frame_index: int) -> FramePoses:
    return FramePoses.untracked(
        frame_index,
        np.full((1, 2, 2), frame_index, np.float32),
        np.ones((1, 2), np.float32),
        np.ones(1, np.float32),
    )


@contextlib.contextmanager
def served(fake: FakeEnsemble, folder: Path) -> Iterator[Targets]:
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    decode_pb2_grpc.add_DecodeServiceServicer_to_server(fake, server)
    serving_pb2_grpc.add_ServingServiceServicer_to_server(fake, server)
    labels_pb2_grpc.add_LabelsServiceServicer_to_server(fake, server)
    jobs_pb2_grpc.add_JobsServiceServicer_to_server(fake, server)
    target = f"unix:{folder / 's'}"
    server.add_insecure_port(target)
    server.start()
    try:
        yield Targets(decode=target, serving=target, labels=target, orchestrator=target)
    finally:
        server.stop(None).wait()

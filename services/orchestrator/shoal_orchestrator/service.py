"""`shoal.jobs.v1.JobsService`: jobs for those who want something done."""

from collections.abc import AsyncIterator

from shoal.common.v1 import video_pb2
from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common import convert_parameters, frame_ranges, paging
from shoal_common.handlers import Context
from shoal_core.errors import InvalidArgument
from shoal_orchestrator import convert
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.peers import (
    LabelSets,
    Models,
    Videos,
    check_centroids,
    check_model_content,
)
from shoal_orchestrator.planning import resolve_runs


class JobsService(jobs_pb2_grpc.JobsServiceServicer):
    """Creates, lists, watches and stops jobs."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        videos: Videos,
        models: Models,
        label_sets: LabelSets | None,
        segment_frame_count: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._videos = videos
        self._models = models
        self._label_sets = label_sets
        self._segment_frame_count = segment_frame_count

    async def CreateTrackJob(
        self, request: jobs_pb2.CreateTrackJobRequest, context: Context
    ) -> jobs_pb2.CreateTrackJobResponse:
        """See the proto."""
        project = convert.project(request.parent)
        # Workers read the same parameters by the same functions: what is bad is refused here.
        convert_parameters.inference_settings(request.inference)
        convert_parameters.tracker_config(request.tracker)
        if request.HasField("range") and request.ranges:
            raise InvalidArgument(
                "FRAMES_INVALID", "Both range and ranges are given; give the frames in one of them."
            )
        probed = await self._videos.probe(request.video_uri)
        spec = await self._resolve(request, probed.video)
        new = convert.new_track_job(
            project,
            spec,
            keyframes=probed.keyframe_indices,
            segment_frame_count=self._segment_frame_count,
        )
        job = await self._dispatcher.submit(new)
        return jobs_pb2.CreateTrackJobResponse(job=convert.job(job))

    async def GetJob(
        self, request: jobs_pb2.GetJobRequest, context: Context
    ) -> jobs_pb2.GetJobResponse:
        """See the proto."""
        job = await self._dispatcher.job(convert.job_name(request.name))
        return jobs_pb2.GetJobResponse(job=convert.job(job))

    async def ListJobs(
        self, request: jobs_pb2.ListJobsRequest, context: Context
    ) -> jobs_pb2.ListJobsResponse:
        """See the proto."""
        size = paging.page_size(request.page_size, default=100, limit=1000)
        before = paging.decode_number_token(request.page_token)
        jobs = await self._dispatcher.jobs(
            convert.project(request.parent), before=before, limit=size + 1
        )
        more = len(jobs) > size
        return jobs_pb2.ListJobsResponse(
            jobs=[convert.brief_job(job) for job in jobs[:size]],
            next_page_token=paging.encode_token(str(jobs[size - 1].sequence)) if more else "",
        )

    async def CancelJob(
        self, request: jobs_pb2.CancelJobRequest, context: Context
    ) -> jobs_pb2.CancelJobResponse:
        """See the proto."""
        job = await self._dispatcher.cancel(convert.job_name(request.name))
        return jobs_pb2.CancelJobResponse(job=convert.job(job))

    async def WatchJob(
        self, request: jobs_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[jobs_pb2.WatchJobResponse]:
        """See the proto."""
        async for job in self._dispatcher.watch(convert.job_name(request.name)):
            yield jobs_pb2.WatchJobResponse(job=convert.brief_job(job))

    async def _resolve(
        self,
        request: jobs_pb2.CreateTrackJobRequest,
        video: video_pb2.Video,
    ) -> jobs_pb2.TrackJobSpec:
        model = await self._models.resolve(request.model)
        check_model_content(model, request.model_content_hash)
        centroids = request.centroids_label_set
        check_centroids(model, centroids)
        if centroids and self._label_sets is not None:
            await self._label_sets.check_exists(centroids)
        asked = request.ranges or ([request.range] if request.HasField("range") else [])
        runs = resolve_runs(
            [(each.start, each.stop) for each in asked],
            frame_count=video.frame_count,
            video=video.uri,
        )
        return jobs_pb2.TrackJobSpec(
            video=video,
            model_version=model.version,
            model_content_hash=model.contract.source_hash,
            range=video_pb2.FrameRange(start=runs[0].start, stop=runs[-1].stop),
            ranges=frame_ranges.range_messages(runs) if len(runs) > 1 else (),
            inference=convert_parameters.resolved_inference(request.inference, model.contract),
            tracker=convert_parameters.resolved_tracker(request.tracker),
            centroids_label_set=centroids,
        )

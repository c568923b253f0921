"""`shoal.jobs.v1.JobsService`: jobs for those who want something done."""

import math
from collections.abc import AsyncIterator

from shoal.common.v1 import video_pb2
from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_common import convert_parameters, frame_ranges, paging
from shoal_common.handlers import Context
from shoal_core.errors import InvalidArgument
from shoal_orchestrator import convert, convert_training, training_jobs
from shoal_orchestrator.artifact_files import chunks
from shoal_orchestrator.convert_training import invalid
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.peers import (
    LabelSets,
    Models,
    TrainingLabels,
    Videos,
    check_centroids,
    check_model_content,
)
from shoal_orchestrator.planning import resolve_runs
from shoal_orchestrator.trainings import Trainings
from shoal_orchestrator.watching import Watching


class JobsService(jobs_pb2_grpc.JobsServiceServicer):
    """Creates, lists, watches and stops jobs."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        videos: Videos,
        models: Models,
        label_sets: LabelSets | None,
        training_labels: TrainingLabels | None,
        trainings: Trainings,
        watching: Watching,
        segment_frame_count: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._training_labels = training_labels
        self._trainings = trainings
        self._watching = watching
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

    async def CreateTrainingJob(
        self, request: jobs_pb2.CreateTrainingJobRequest, context: Context
    ) -> jobs_pb2.CreateTrainingJobResponse:
        """See the proto."""
        project = convert.project(request.parent)
        spec = await training_jobs.resolve(request.spec, self._training_labels)
        job = await self._dispatcher.submit(training_jobs.new_training_job(project, spec))
        return jobs_pb2.CreateTrainingJobResponse(job=convert.job(job))

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
        if request.since < 0:
            raise invalid("since", request.since, "0 or more")
        name = convert.job_name(request.name)
        async for job, events in self._watching.watch(name, since=request.since):
            yield jobs_pb2.WatchJobResponse(
                job=convert.brief_job(job), events=map(convert_training.event, events)
            )

    async def RetryJob(
        self, request: jobs_pb2.RetryJobRequest, context: Context
    ) -> jobs_pb2.RetryJobResponse:
        """See the proto."""
        job = await self._dispatcher.retry(convert.job_name(request.name))
        return jobs_pb2.RetryJobResponse(job=convert.job(job))

    async def StopTraining(
        self, request: jobs_pb2.StopTrainingRequest, context: Context
    ) -> jobs_pb2.StopTrainingResponse:
        """See the proto."""
        job = await self._trainings.stop(convert.job_name(request.name), request.stage)
        return jobs_pb2.StopTrainingResponse(job=convert.job(job))

    async def SetLearningRate(
        self, request: jobs_pb2.SetLearningRateRequest, context: Context
    ) -> jobs_pb2.SetLearningRateResponse:
        """See the proto."""
        rate = request.learning_rate
        if not (math.isfinite(rate) and rate > 0):
            raise invalid("learning_rate", rate, "a finite number above 0")
        name = convert.job_name(request.name)
        job = await self._trainings.set_learning_rate(name, request.stage, rate)
        return jobs_pb2.SetLearningRateResponse(job=convert.job(job))

    async def ListArtifacts(
        self, request: jobs_pb2.ListArtifactsRequest, context: Context
    ) -> jobs_pb2.ListArtifactsResponse:
        """See the proto."""
        size = paging.page_size(request.page_size, default=100, limit=1000)
        found = await self._trainings.artifacts(
            convert.job_name(request.parent),
            prefix=request.prefix,
            after=paging.decode_token(request.page_token),
            limit=size + 1,
        )
        page, has_more = found[:size], len(found) > size
        return jobs_pb2.ListArtifactsResponse(
            artifacts=map(convert_training.artifact, page),
            next_page_token=paging.encode_token(page[-1].path) if has_more else "",
        )

    async def DownloadArtifact(
        self, request: jobs_pb2.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[jobs_pb2.DownloadArtifactResponse]:
        """See the proto."""
        name = convert.job_name(request.job)
        async with self._trainings.open(name, request.path) as (artifact, file):
            yield jobs_pb2.DownloadArtifactResponse(artifact=convert_training.artifact(artifact))
            async for chunk in chunks(file, byte_count=artifact.byte_count, path=artifact.path):
                yield jobs_pb2.DownloadArtifactResponse(chunk=chunk)

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

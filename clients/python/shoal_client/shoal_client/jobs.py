"""Jobs, through shoal.jobs.v1."""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from shoal.jobs.v1 import jobs_pb2, jobs_pb2_grpc
from shoal_client import convert, convert_training
from shoal_client.limits import PAGE_SIZE, PROBE_S, QUICK_S
from shoal_client.parameters import InferenceParameters, WindowTracker
from shoal_client.training_types import TrainingJob
from shoal_client.types import Job
from shoal_common.status import typed_errors
from shoal_common.track_document import track_document
from shoal_core.errors import DeadlineExceeded, InvalidArgument, Unavailable


class Jobs:
    """Durable long work of one project."""

    def __init__(self, channel: grpc.Channel, peer: str, project: str) -> None:
        self._stub = jobs_pb2_grpc.JobsServiceStub(channel)
        self._peer = peer
        self._parent = f"projects/{project}"

    def create_track(
        self,
        video_uri: str,
        model: str,
        *,
        model_content_hash: str = "",
        frames: range | Sequence[range] | None = None,
        inference: InferenceParameters | None = None,
        tracker: WindowTracker | None = None,
        centroids_label_set: str = "",
    ) -> Job:
        """Returns the job that tracks a video; the same request returns, and resumes, the same one.

        Args:
            video_uri: Absolute path or file:// URI, as the services see it.
            model: models/{model}, models/{model}/aliases/{alias} or
                models/{model}/versions/{version}.
            model_content_hash: What the model must have been imported from; "" for anything.
            frames: Frames to process, one run or several in any order; None for all.
            inference: Peak finding, grouping and filters; None for the defaults.
            tracker: How instances become tracks; None for no linking.
            centroids_label_set: Label set that says where the animals are; for centered-instance
                models that run alone.

        Raises:
            NotFound: VIDEO_NOT_FOUND, MODEL_NOT_FOUND or LABEL_SET_NOT_FOUND.
            InvalidArgument: VIDEO_EMPTY, VIDEO_UNREADABLE, FRAMES_INVALID, PARAMETER_INVALID,
                CENTROIDS_MISSING or CENTROIDS_UNEXPECTED.
            FailedPrecondition: MODEL_CHANGED.
            OutOfRange: FRAME_OUT_OF_RANGE.
        """
        if frames is not None and len(frames) == 0:
            raise InvalidArgument(
                "FRAMES_INVALID", "No frame is chosen; give a run of frames, or None for all."
            )
        request = jobs_pb2.CreateTrackJobRequest(
            parent=self._parent,
            video_uri=video_uri,
            model=model,
            model_content_hash=model_content_hash,
            range=convert.frame_range_message(frames) if isinstance(frames, range) else None,
            ranges=[]
            if frames is None or isinstance(frames, range)
            else [convert.frame_range_message(run) for run in frames],
            inference=None if inference is None else convert.inference_message(inference),
            tracker=None if tracker is None else convert.tracker_message(tracker),
            centroids_label_set=centroids_label_set,
        )
        with typed_errors(self._peer):
            response = self._stub.CreateTrackJob(request, timeout=PROBE_S)
        return convert.job(response.job)

    def get(self, name: str) -> Job | TrainingJob:
        """Returns projects/{project}/jobs/{job}.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        with typed_errors(self._peer):
            response = self._stub.GetJob(jobs_pb2.GetJobRequest(name=name), timeout=QUICK_S)
        return _job(response.job)

    def settings(self, name: str) -> dict[str, Any]:
        """Returns everything that shapes the result of a tracking job, as JSON values.

        Each default is resolved. See `shoal_common.track_document`; the same document lies in the
        provenance of its predictions.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        with typed_errors(self._peer):
            response = self._stub.GetJob(jobs_pb2.GetJobRequest(name=name), timeout=QUICK_S)
        return track_document(response.job.spec)

    def list(self) -> Iterator[Job | TrainingJob]:
        """Yields the project's jobs, the newest first."""
        page_token = ""
        while True:
            request = jobs_pb2.ListJobsRequest(
                parent=self._parent, page_size=PAGE_SIZE, page_token=page_token
            )
            with typed_errors(self._peer):
                response = self._stub.ListJobs(request, timeout=QUICK_S)
            yield from map(_job, response.jobs)
            page_token = response.next_page_token
            if not page_token:
                return

    def cancel(self, name: str) -> Job | TrainingJob:
        """Asks a job to stop; what was committed stays. A job that has ended stays as it is.

        Raises:
            NotFound: JOB_NOT_FOUND.
        """
        with typed_errors(self._peer):
            response = self._stub.CancelJob(jobs_pb2.CancelJobRequest(name=name), timeout=QUICK_S)
        return _job(response.job)

    def retry(self, name: str) -> Job | TrainingJob:
        """Queues a job again that failed or was cancelled; it keeps what was committed.

        A job that goes on stays as it is.

        Raises:
            NotFound: JOB_NOT_FOUND.
            FailedPrecondition: JOB_SUCCEEDED.
        """
        with typed_errors(self._peer):
            response = self._stub.RetryJob(jobs_pb2.RetryJobRequest(name=name), timeout=QUICK_S)
        return _job(response.job)

    def watch(self, name: str, *, period_s: float = 2.0) -> Iterator[Job]:
        """Yields a tracking job as it is now, after every change and at least every `period_s`.

        Ends with the job. Leaving the loop early leaves the job running.

        Raises:
            NotFound: JOB_NOT_FOUND.
            Unavailable: the orchestrator cannot be reached (any more).
        """
        while True:
            for job in self._changes(name, period_s):
                yield job
                if job.state.has_ended:
                    return

    def _changes(self, name: str, period_s: float) -> Iterator[Job]:
        """Yields the job as it is now and its changes within a period, the call's deadline."""
        answered = False
        call = self._stub.WatchJob(jobs_pb2.WatchJobRequest(name=name), timeout=period_s)
        try:
            with typed_errors(self._peer):
                for response in call:
                    answered = True
                    yield convert.job(response.job)
        except DeadlineExceeded:
            if not answered:
                raise
        else:
            if not answered:
                raise Unavailable("WATCH_ENDED", f"{self._peer} says nothing about {name}.")
        finally:
            call.cancel()


def _job(message: jobs_pb2.Job) -> Job | TrainingJob:
    if message.HasField("training"):
        return convert_training.training_job(message)
    return convert.job(message)

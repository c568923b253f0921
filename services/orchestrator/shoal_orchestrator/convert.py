"""Protobuf ↔ the orchestrator's own values. Protobuf stops here."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from shoal.common.v1 import video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common import frame_ranges, names
from shoal_common.status import to_status
from shoal_core import frame_runs
from shoal_core.errors import InvalidArgument
from shoal_orchestrator import convert_training
from shoal_orchestrator.planning import TRACK_JOB, content_id, cut_segments, track_tasks
from shoal_orchestrator.records import (
    Job,
    JobKind,
    LeasedTask,
    NewJob,
    Progress,
    TaskKey,
    TaskKind,
)
from shoal_orchestrator.states import JobState

_JOB_NAME = "projects/{project}/jobs/{job}"
_TASK_NAME = "projects/{project}/jobs/{job}/tasks/{index}"

_STATES = {
    JobState.PENDING: jobs_pb2.JOB_STATE_PENDING,
    JobState.RUNNING: jobs_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: jobs_pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: jobs_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: jobs_pb2.JOB_STATE_CANCELLED,
}


def project(parent: str) -> str:
    """Returns the id of `projects/{project}`.

    Raises:
        InvalidArgument: NAME_INVALID.
    """
    return names.parse(names.PROJECT, parent)["project"]


def job_name(name: str) -> str:
    """Returns the name if it has the form of a job's.

    Raises:
        InvalidArgument: NAME_INVALID.
    """
    names.parse(_JOB_NAME, name)
    return name


def task_key(name: str) -> TaskKey:
    """Returns which task a name means.

    Raises:
        InvalidArgument: NAME_INVALID.
    """
    ids = names.parse(_TASK_NAME, name)
    if not (ids["index"].isascii() and ids["index"].isdigit() and len(ids["index"]) < 10):
        raise InvalidArgument("NAME_INVALID", f"{name!r} has no number for a task.", name=name)
    return TaskKey(name.rsplit("/", 2)[0], int(ids["index"]))


def new_track_job(
    project_id: str,
    spec: jobs_pb2.TrackJobSpec,
    *,
    keyframes: Sequence[int],
    segment_frame_count: int,
) -> NewJob:
    """Returns the job that tracks a video.

    Its name follows from everything in the specification that shapes the result: of the
    video that is the content, not the place.

    Args:
        project_id: {project}.
        spec: What to do, everything resolved.
        keyframes: Frames of the video at which decoding can start, increasing.
        segment_frame_count: Length of segments aimed at.
    """
    if not spec.video.content_hash:
        raise ValueError(f"decode gave no content hash of {spec.video.uri}")
    runs = frame_ranges.spec_runs(spec)
    is_tracked = spec.HasField("tracker")
    identity = (
        spec.video.content_hash.encode(),
        spec.model_version.encode(),
        spec.model_content_hash.encode(),
        frame_runs.runs_text(runs).encode(),
        spec.inference.SerializeToString(deterministic=True),
        b"tracker" if is_tracked else b"",
        spec.tracker.SerializeToString(deterministic=True),
        spec.centroids_label_set.encode(),
    )
    job_id = content_id(TRACK_JOB, identity)
    result = f"projects/{project_id}/labelSets/{job_id}"
    tasks = track_tasks(
        cut_segments(runs, segment_frame_count, keyframes),
        poses_label_set=f"{result}-poses" if is_tracked else result,
        linked_label_set=result if is_tracked else None,
    )
    return NewJob(
        name=f"projects/{project_id}/jobs/{job_id}",
        project=project_id,
        spec=spec.SerializeToString(deterministic=True),
        total_frame_count=frame_runs.frame_count(runs),
        result_label_set=result,
        tasks=tasks,
    )


def brief_job(value: Job) -> jobs_pb2.Job:
    """Returns the wire form of a job for lists and watches: without what may be long in it."""
    message = job(value)
    if message.HasField("spec"):
        message.spec.ClearField("ranges")
    for stage in message.training.stages:
        stage.ClearField("configuration_json")
    return message


def job(value: Job) -> jobs_pb2.Job:
    """Returns the wire form of a job."""
    message = jobs_pb2.Job(
        name=value.name,
        state=_STATES[value.state],
        progress=_progress(value.progress),
        error=None if value.error is None else to_status(value.error),
        create_time=_timestamp(value.create_time_us),
        end_time=_timestamp(value.end_time_us),
        result_label_set=value.result_label_set,
        training_progress=map(convert_training.progress, value.trainings),
    )
    if value.kind is JobKind.TRAIN:
        message.training.ParseFromString(value.spec)
    else:
        message.spec.ParseFromString(value.spec)
    return message


def job_state(state: JobState) -> "jobs_pb2.JobState.ValueType":
    """Returns the wire form of a job's state."""
    return _STATES[state]


def task(value: LeasedTask, *, lease_seconds: float) -> jobs_pb2.Task:
    """Returns the wire form of a leased task."""
    message = jobs_pb2.Task(
        name=f"{value.key.job}/tasks/{value.key.index}",
        fencing_token=value.fencing_token,
        lease_duration_ms=round(lease_seconds * 1000),
    )
    if value.kind is TaskKind.TRAIN:
        message.train.CopyFrom(convert_training.train_task(value))
        return message
    message.spec.ParseFromString(value.spec)
    if value.kind is TaskKind.LINK:
        message.link.source_label_set = value.source_label_set or ""
        message.link.result_label_set = value.result_label_set
        return message
    message.infer_segment.range.CopyFrom(
        video_pb2.FrameRange(start=value.span.start, stop=value.span.stop)
    )
    message.infer_segment.segment_index = value.key.index
    message.infer_segment.label_set = value.result_label_set
    return message


def _progress(value: Progress) -> jobs_pb2.JobProgress:
    return jobs_pb2.JobProgress(
        total_frame_count=value.total_frame_count,
        inferred_frame_count=value.inferred_frame_count,
        committed_frame_count=value.committed_frame_count,
        linked_frame_count=value.linked_frame_count,
        instance_count=value.instance_count,
        first_frame_time=_timestamp(value.first_frame_time_us),
        overflow_frame_count=value.overflow_frame_count,
    )


def _timestamp(time_us: int | None) -> Timestamp | None:
    if time_us is None:
        return None
    timestamp = Timestamp()
    timestamp.FromMicroseconds(time_us)
    return timestamp

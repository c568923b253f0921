"""Protobuf ↔ the SDK's types. Protobuf stops here."""

import datetime
import json
from typing import Any

from google.protobuf import timestamp_pb2

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal.labels.v1 import labels_pb2
from shoal.serving.v1 import serving_pb2
from shoal_client.parameters import (
    ClassGrouping,
    InferenceParameters,
    InstanceFilters,
    WindowTracker,
)
from shoal_client.types import (
    Alias,
    ComparedModel,
    Job,
    JobProgress,
    JobState,
    LabelSet,
    Model,
    ModelComparison,
    ModelVersion,
    Video,
)
from shoal_common import convert
from shoal_common.status import from_status
from shoal_core.errors import InvalidArgument

_SIMILARITIES = {
    "oks": parameters_pb2.SIMILARITY_OKS,
    "iou": parameters_pb2.SIMILARITY_IOU,
    "centroid": parameters_pb2.SIMILARITY_CENTROID,
    "euclidean": parameters_pb2.SIMILARITY_EUCLIDEAN,
}
_ASSIGNMENTS = {
    "hungarian": parameters_pb2.ASSIGNMENT_HUNGARIAN,
    "greedy": parameters_pb2.ASSIGNMENT_GREEDY,
}
_OVERLAP_MEASURES = {
    "none": parameters_pb2.OVERLAP_MEASURE_NONE,
    "iou": parameters_pb2.OVERLAP_MEASURE_IOU,
    "oks": parameters_pb2.OVERLAP_MEASURE_OKS,
}
_JOB_STATES = {
    jobs_pb2.JOB_STATE_PENDING: JobState.PENDING,
    jobs_pb2.JOB_STATE_RUNNING: JobState.RUNNING,
    jobs_pb2.JOB_STATE_SUCCEEDED: JobState.SUCCEEDED,
    jobs_pb2.JOB_STATE_FAILED: JobState.FAILED,
    jobs_pb2.JOB_STATE_CANCELLED: JobState.CANCELLED,
}


def frame_range_message(frames: range) -> video_pb2.FrameRange:
    """Returns the wire form of a run of frames.

    Raises:
        InvalidArgument: FRAMES_INVALID when it is empty, negative or has a step.
    """
    if frames.step != 1 or frames.start < 0 or len(frames) == 0:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"{frames} is not a run of frames; it needs step 1, a start of at least 0 and a frame.",
            frames=frames,
        )
    return video_pb2.FrameRange(start=frames.start, stop=frames.stop)


def inference_message(parameters: InferenceParameters) -> parameters_pb2.InferenceParameters:
    """Returns the wire form of inference parameters."""
    grouping, classes = parameters.part_grouping, parameters.class_grouping
    return parameters_pb2.InferenceParameters(
        peak_threshold=parameters.peak_threshold,
        crop_peak_threshold=parameters.crop_peak_threshold,
        max_instances=parameters.max_instances,
        batch_size=parameters.batch_size,
        part_grouping=None
        if grouping is None
        else parameters_pb2.PartGroupingParameters(
            max_edge_length_ratio=grouping.max_edge_length_ratio,
            dist_penalty_weight=grouping.dist_penalty_weight,
            min_instance_peaks=grouping.min_instance_peaks,
            min_line_scores=grouping.min_line_scores,
            n_points=grouping.n_points,
        ),
        class_grouping=None if classes is None else _classes_message(classes),
        filters=None if parameters.filters is None else _filters_message(parameters.filters),
    )


def _classes_message(grouping: ClassGrouping) -> parameters_pb2.ClassGroupingParameters:
    return parameters_pb2.ClassGroupingParameters(
        only_best_class=grouping.only_best_class, peak_value_weight=grouping.peak_value_weight
    )


def _filters_message(filters: InstanceFilters) -> parameters_pb2.InstanceFilterParameters:
    message = parameters_pb2.InstanceFilterParameters(
        min_visible_nodes=filters.min_visible_nodes,
        min_visible_node_fraction=filters.min_visible_node_fraction,
        min_mean_node_score=filters.min_mean_node_score,
        min_instance_score=filters.min_instance_score,
        overlapping_threshold=filters.overlapping_threshold,
    )
    if filters.overlapping_method is not None:
        message.overlapping_method = _OVERLAP_MEASURES[filters.overlapping_method]
    return message


def tracker_message(tracker: WindowTracker) -> parameters_pb2.TrackerParameters:
    """Returns the wire form of a tracker."""
    window = parameters_pb2.WindowTrackerParameters(
        window_frame_count=tracker.window_frame_count,
        max_tracks=tracker.max_tracks,
        target_instance_count=tracker.target_instance_count,
        min_similarity=tracker.min_similarity,
    )
    if tracker.similarity is not None:
        window.similarity = _SIMILARITIES[tracker.similarity]
    if tracker.assignment is not None:
        window.assignment = _ASSIGNMENTS[tracker.assignment]
    return parameters_pb2.TrackerParameters(window=window)


def video(message: video_pb2.Video) -> Video:
    """Returns the video of a message."""
    return Video(
        uri=message.uri,
        frame_count=message.frame_count,
        height_px=message.height_px,
        width_px=message.width_px,
        channel_count=message.channel_count,
        frame_rate_hz=message.frame_rate_hz,
        content_hash=message.content_hash,
        missing_frame_count=None
        if message.missing_frame_count < 0
        else message.missing_frame_count,
        window=(message.window.low, message.window.high) if message.HasField("window") else None,
    )


def model_version(message: serving_pb2.ModelVersion) -> ModelVersion:
    """Returns the version of a message."""
    return ModelVersion(
        name=message.name,
        kind=message.kind,
        skeleton=convert.skeleton(message.skeleton),
        pose_contract_json=message.pose_contract_json,
        source_uris=tuple(message.source_uris),
        create_time=time(message.create_time),
        tuning_json=message.tuning_json,
    )


def model(message: serving_pb2.Model) -> Model:
    """Returns the model of a message."""
    return Model(
        name=message.name,
        versions=tuple(map(model_version, message.versions)),
        aliases=tuple(map(alias, message.aliases)),
    )


def comparison(message: serving_pb2.CompareModelsResponse) -> ModelComparison:
    """Returns the comparison of a message."""
    return ModelComparison(
        models=tuple(
            ComparedModel(
                version=model.version,
                instance_count=model.instance_count,
                lone_node_count=model.lone_node_count,
                frame_ms=model.frame_ms,
            )
            for model in message.models
        ),
        nodes=tuple(message.nodes),
        frame_count=message.frame_count,
        matched_instance_count=message.matched_instance_count,
        distances_px=convert.array(message.distances_px),
    )


def alias(message: serving_pb2.Alias) -> Alias:
    """Returns the alias of a message."""
    return Alias(message.name, message.version, tuple(message.earlier_versions))


def job(message: jobs_pb2.Job) -> Job:
    """Returns the job of a message.

    Raises:
        InvalidArgument: JOB_STATE_UNKNOWN when the service is newer than this SDK.
    """
    progress = message.progress
    return Job(
        name=message.name,
        state=job_state(message.state, message.name),
        video=video(message.spec.video),
        model_version=message.spec.model_version,
        progress=JobProgress(
            total_frame_count=progress.total_frame_count,
            inferred_frame_count=progress.inferred_frame_count,
            committed_frame_count=progress.committed_frame_count,
            linked_frame_count=progress.linked_frame_count,
            instance_count=progress.instance_count,
            first_frame_time=optional_time(progress, "first_frame_time"),
            overflow_frame_count=progress.overflow_frame_count,
        ),
        error=from_status(message.error) if message.HasField("error") else None,
        result_label_set=message.result_label_set,
        create_time=time(message.create_time),
        end_time=optional_time(message, "end_time"),
    )


def job_state(state: jobs_pb2.JobState.ValueType, job_name: str) -> JobState:
    """Returns the state of a job.

    Raises:
        InvalidArgument: JOB_STATE_UNKNOWN when the service is newer than this SDK.
    """
    known = _JOB_STATES.get(state)
    if known is None:
        raise InvalidArgument(
            "JOB_STATE_UNKNOWN",
            f"Job {job_name} is in state {state}, which this version of shoal-client does not "
            "know; update it.",
            job=job_name,
        )
    return known


def label_set(message: labels_pb2.LabelSet) -> LabelSet:
    """Returns the label set of a message."""
    return LabelSet(
        name=message.name,
        video=video(message.video),
        skeleton=convert.skeleton(message.skeleton),
        track_names=tuple(message.track_names),
        provenance=json.loads(message.provenance_json or "{}"),
        frame_count=message.frame_count,
        instance_count=message.instance_count,
    )


def time(message: timestamp_pb2.Timestamp) -> datetime.datetime:
    """Returns a moment in UTC."""
    return message.ToDatetime(datetime.UTC)


def optional_time(message: Any, field: str) -> datetime.datetime | None:
    """Returns the moment in a field, if it is set."""
    return time(getattr(message, field)) if message.HasField(field) else None

"""`shoal.common.v1` parameters ↔ domain settings, checked field by field."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shoal.common.v1 import parameters_pb2 as pb
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.settings import InferenceSettings
from shoal_core.class_grouping import ClassGrouping
from shoal_core.errors import InvalidArgument
from shoal_core.filtering import InstanceFilters
from shoal_core.grouping import PartGrouping
from shoal_core.tracking import WindowTracker

_SIMILARITIES: Mapping[pb.Similarity.ValueType, Any] = {
    pb.SIMILARITY_OKS: "oks",
    pb.SIMILARITY_IOU: "iou",
    pb.SIMILARITY_CENTROID: "centroid",
    pb.SIMILARITY_EUCLIDEAN: "euclidean",
}
_ASSIGNMENTS: Mapping[pb.Assignment.ValueType, Any] = {
    pb.ASSIGNMENT_HUNGARIAN: "hungarian",
    pb.ASSIGNMENT_GREEDY: "greedy",
}
_OVERLAP_MEASURES: Mapping[pb.OverlapMeasure.ValueType, Any] = {
    pb.OVERLAP_MEASURE_NONE: "none",
    pb.OVERLAP_MEASURE_IOU: "iou",
    pb.OVERLAP_MEASURE_OKS: "oks",
}


def inference_settings(message: pb.InferenceParameters) -> InferenceSettings:
    """Returns the settings; absent fields take the defaults that the proto names.

    Raises:
        InvalidArgument: PARAMETER_INVALID, naming the field and its range.
    """
    given = _given(message, "peak_threshold", "crop_peak_threshold", "max_instances", "batch_size")
    _check_range(given, "peak_threshold", 0, 10)
    _check_range(given, "crop_peak_threshold", 0, 10)
    _check_range(given, "max_instances", 1, 1000)
    _check_range(given, "batch_size", 1, 256)
    return InferenceSettings(
        part_grouping=_part_grouping(message.part_grouping),
        class_grouping=_class_grouping(message.class_grouping),
        filters=_filters(message.filters),
        **given,
    )


def resolved_inference(
    message: pb.InferenceParameters, contract: PoseContract
) -> pb.InferenceParameters:
    """Returns the same parameters with every default written out, those of the model included.

    `max_instances` and `min_instance_score` stay absent where there is no such limit, and
    `crop_peak_threshold` where the model has no two stages.

    Raises:
        InvalidArgument: PARAMETER_INVALID, naming the field and its range.
    """
    settings = inference_settings(message)
    grouping, filters = settings.part_grouping, settings.filters
    thresholds = _thresholds(settings, contract)
    return pb.InferenceParameters(
        peak_threshold=thresholds[0],
        crop_peak_threshold=thresholds[1],
        max_instances=settings.max_instances,
        batch_size=settings.batch_size,
        part_grouping=pb.PartGroupingParameters(
            max_edge_length_ratio=grouping.max_edge_length_ratio,
            dist_penalty_weight=grouping.dist_penalty_weight,
            min_instance_peaks=grouping.min_instance_peaks,
            min_line_scores=grouping.min_line_scores,
            n_points=grouping.n_points,
        ),
        class_grouping=pb.ClassGroupingParameters(
            only_best_class=settings.class_grouping.only_best_class,
            peak_value_weight=settings.class_grouping.peak_value_weight,
        ),
        filters=pb.InstanceFilterParameters(
            min_visible_nodes=filters.min_visible_nodes,
            min_visible_node_fraction=filters.min_visible_node_fraction,
            min_mean_node_score=filters.min_mean_node_score,
            min_instance_score=filters.min_instance_score,
            overlapping_method=_key(filters.overlapping_method, _OVERLAP_MEASURES),
            overlapping_threshold=filters.overlapping_threshold,
        ),
    )


def _thresholds(settings: InferenceSettings, contract: PoseContract) -> tuple[float, float | None]:
    """Returns the threshold of peaks, and that of nodes in the crops of two stages."""
    peak, crop = settings.peak_threshold, settings.crop_peak_threshold
    if not contract.has_two_stages:
        return (contract.peak_threshold if peak is None else peak), None
    choices = (crop, peak, contract.crop_peak_threshold, contract.peak_threshold)
    resolved_crop = next(choice for choice in choices if choice is not None)
    return (contract.peak_threshold if peak is None else peak), resolved_crop


def resolved_tracker(message: pb.TrackerParameters) -> pb.TrackerParameters | None:
    """Returns the same tracker with every default written out; None where no method is given.

    `max_tracks` and `target_instance_count` stay absent where there is no such limit.

    Raises:
        InvalidArgument: PARAMETER_INVALID, naming the field and its range.
    """
    config = tracker_config(message)
    if config is None:
        return None
    window = pb.WindowTrackerParameters(
        window_frame_count=config.window,
        similarity=_key(config.similarity, _SIMILARITIES),
        assignment=_key(config.assignment, _ASSIGNMENTS),
        max_tracks=config.max_tracks,
        target_instance_count=config.target_instance_count,
        min_similarity=config.min_similarity,
    )
    return pb.TrackerParameters(window=window)


def tracker_config(message: pb.TrackerParameters) -> WindowTracker | None:
    """Returns the tracker's configuration; None where no method is given.

    Raises:
        InvalidArgument: PARAMETER_INVALID, naming the field and its range.
    """
    if message.WhichOneof("method") is None:
        return None
    window = message.window
    given = _given(
        window, "window_frame_count", "max_tracks", "target_instance_count", "min_similarity"
    )
    _check_range(given, "window_frame_count", 1, 1000)
    _check_range(given, "max_tracks", 1, 10_000)
    _check_range(given, "target_instance_count", 1, 1000)
    _check_range(given, "min_similarity", 0, 1)
    if "target_instance_count" in given:
        given.setdefault("max_tracks", given["target_instance_count"])
    if "window_frame_count" in given:
        given["window"] = given.pop("window_frame_count")
    if window.similarity != pb.SIMILARITY_UNSPECIFIED:
        given["similarity"] = _choice("similarity", window.similarity, _SIMILARITIES)
    if window.assignment != pb.ASSIGNMENT_UNSPECIFIED:
        given["assignment"] = _choice("assignment", window.assignment, _ASSIGNMENTS)
    return WindowTracker(**given)


def _part_grouping(message: pb.PartGroupingParameters) -> PartGrouping:
    given = _given(
        message,
        "max_edge_length_ratio",
        "dist_penalty_weight",
        "min_instance_peaks",
        "min_line_scores",
        "n_points",
    )
    _check_range(given, "max_edge_length_ratio", 1e-6, 1000)
    _check_range(given, "dist_penalty_weight", 0, 1000)
    _check_range(given, "min_instance_peaks", 0, 1000)
    _check_range(given, "min_line_scores", -1, 1)
    _check_range(given, "n_points", 2, 100)
    return PartGrouping(**given)


def _class_grouping(message: pb.ClassGroupingParameters) -> ClassGrouping:
    given = _given(message, "only_best_class", "peak_value_weight")
    _check_range(given, "peak_value_weight", 0, 1000)
    return ClassGrouping(**given)


def _filters(message: pb.InstanceFilterParameters) -> InstanceFilters:
    given = _given(
        message,
        "min_visible_nodes",
        "min_visible_node_fraction",
        "min_mean_node_score",
        "min_instance_score",
        "overlapping_threshold",
    )
    _check_range(given, "min_visible_nodes", 0, 1000)
    _check_range(given, "min_visible_node_fraction", 0, 1)
    _check_range(given, "min_mean_node_score", 0, 10)
    _check_range(given, "min_instance_score", -1000, 1000)
    _check_range(given, "overlapping_threshold", 0, 1)
    if message.overlapping_method != pb.OVERLAP_MEASURE_UNSPECIFIED:
        method = message.overlapping_method
        given["overlapping_method"] = _choice("overlapping_method", method, _OVERLAP_MEASURES)
    return InstanceFilters(**given)


def _given(message: Any, *fields: str) -> dict[str, Any]:
    return {field: _exact(getattr(message, field)) for field in fields if message.HasField(field)}


def _exact(value: float) -> float:
    """Returns the number that was meant: 0.05, not the float32 beside it that was sent."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _check_range(given: Mapping[str, Any], field: str, low: float, high: float) -> None:
    if field in given and not low <= given[field] <= high:
        raise InvalidArgument(
            "PARAMETER_INVALID",
            f"{field} is {given[field]:g}; give a value from {low:g} to {high:g}.",
            field=field,
            value=given[field],
        )


def _choice(field: str, value: int, choices: Mapping[Any, Any]) -> Any:
    if value not in choices:
        raise InvalidArgument(
            "PARAMETER_INVALID",
            f"{field} {value} is not known; known are {', '.join(choices.values())}.",
            field=field,
            value=value,
        )
    return choices[value]


def _key(value: str, choices: Mapping[Any, Any]) -> Any:
    return next(key for key, choice in choices.items() if choice == value)

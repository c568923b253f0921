"""`shoal.common.v1` parameters → domain settings, checked field by field."""

from collections.abc import Mapping
from typing import Any

from shoal.common.v1 import parameters_pb2 as pb
from shoal_common.inference.settings import InferenceSettings
from shoal_core.errors import InvalidArgument
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


def inference_settings(message: pb.InferenceParameters) -> InferenceSettings:
    """Returns the settings; absent fields take the defaults that the proto names.

    Raises:
        InvalidArgument: PARAMETER_INVALID, naming the field and its range.
    """
    given = _given(message, "peak_threshold", "max_instances", "batch_size")
    _check_range(given, "peak_threshold", 0, 10)
    _check_range(given, "max_instances", 1, 1000)
    _check_range(given, "batch_size", 1, 256)
    return InferenceSettings(part_grouping=_part_grouping(message.part_grouping), **given)


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
    )
    _check_range(given, "max_edge_length_ratio", 1e-6, 1000)
    _check_range(given, "dist_penalty_weight", 0, 1000)
    _check_range(given, "min_instance_peaks", 0, 1000)
    _check_range(given, "min_line_scores", -1, 1)
    return PartGrouping(**given)


def _given(message: Any, *fields: str) -> dict[str, Any]:
    return {field: getattr(message, field) for field in fields if message.HasField(field)}


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

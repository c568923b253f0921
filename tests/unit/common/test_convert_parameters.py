import math
from dataclasses import replace
from typing import Any

import pytest

from shoal.common.v1 import parameters_pb2 as pb
from shoal_common.convert_parameters import (
    inference_settings,
    resolved_inference,
    resolved_tracker,
    tracker_config,
)
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.settings import InferenceSettings
from shoal_core.class_grouping import ClassGrouping
from shoal_core.errors import InvalidArgument
from shoal_core.filtering import InstanceFilters
from shoal_core.grouping import PartGrouping
from shoal_core.skeleton import Skeleton
from shoal_core.tracking import WindowTracker


def test_absent_parameters_are_the_defaults() -> None:
    assert inference_settings(pb.InferenceParameters()) == InferenceSettings()
    assert tracker_config(pb.TrackerParameters()) is None
    empty_window = pb.TrackerParameters(window=pb.WindowTrackerParameters())
    assert tracker_config(empty_window) == WindowTracker()


def test_given_parameters_arrive_also_where_they_are_zero() -> None:
    grouping = pb.PartGroupingParameters(
        max_edge_length_ratio=0.5,
        dist_penalty_weight=0,
        min_instance_peaks=0.5,
        min_line_scores=0,
        n_points=5,
    )
    filters = pb.InstanceFilterParameters(
        min_visible_nodes=2,
        min_visible_node_fraction=0.25,
        min_mean_node_score=0.5,
        min_instance_score=0,
        overlapping_method=pb.OVERLAP_MEASURE_OKS,
        overlapping_threshold=0,
    )
    message = pb.InferenceParameters(
        peak_threshold=0,
        crop_peak_threshold=0.1,
        max_instances=2,
        batch_size=4,
        part_grouping=grouping,
        class_grouping=pb.ClassGroupingParameters(only_best_class=True, peak_value_weight=0.1),
        filters=filters,
    )
    assert inference_settings(message) == InferenceSettings(
        peak_threshold=0,
        crop_peak_threshold=0.1,
        max_instances=2,
        batch_size=4,
        part_grouping=PartGrouping(
            max_edge_length_ratio=0.5,
            dist_penalty_weight=0,
            min_instance_peaks=0.5,
            min_line_scores=0,
            n_points=5,
        ),
        class_grouping=ClassGrouping(only_best_class=True, peak_value_weight=0.1),
        filters=InstanceFilters(
            min_visible_nodes=2,
            min_visible_node_fraction=0.25,
            min_mean_node_score=0.5,
            min_instance_score=0,
            overlapping_method="oks",
            overlapping_threshold=0,
        ),
    )


CONTRACT = PoseContract(
    family="parts",
    kind="bottomup",
    skeleton=Skeleton("fly", ("head", "tail"), ((0, 1),)),
    channels=1,
    stages=(),
    peak_threshold=0.375,
)


def test_resolved_parameters_leave_nothing_to_a_default() -> None:
    """Only limits that are not there stay absent; the settings are those of the request."""
    resolved = resolved_inference(pb.InferenceParameters(), CONTRACT)
    assert resolved.peak_threshold == 0.375
    parts = (resolved, resolved.part_grouping, resolved.class_grouping, resolved.filters)
    absent = [name for part in parts for name in _absent(part)]
    assert absent == ["max_instances", "crop_peak_threshold", "min_instance_score"]
    assert inference_settings(resolved) == InferenceSettings(peak_threshold=0.375)
    window = pb.TrackerParameters(window=pb.WindowTrackerParameters())
    tracker = resolved_tracker(window)
    assert tracker is not None
    assert _absent(tracker.window) == ["max_tracks", "target_instance_count"]
    assert tracker_config(tracker) == WindowTracker()
    assert resolved_tracker(pb.TrackerParameters()) is None


def test_resolving_twice_is_resolving_once() -> None:
    given = pb.InferenceParameters(max_instances=3)
    given.filters.overlapping_method = pb.OVERLAP_MEASURE_IOU
    given.part_grouping.n_points = 7
    once = resolved_inference(given, CONTRACT)
    assert resolved_inference(once, replace(CONTRACT, peak_threshold=0.1)) == once
    assert inference_settings(once) == replace(inference_settings(given), peak_threshold=0.375)


@pytest.mark.parametrize(
    ("given", "of_crops", "expected"),
    [
        ({}, None, (0.375, 0.375)),
        ({}, 0.0, (0.375, 0.0)),
        ({"peak_threshold": 0.5}, 0.0, (0.5, 0.5)),
        ({"crop_peak_threshold": 0.125}, None, (0.375, 0.125)),
        ({"peak_threshold": 0.5, "crop_peak_threshold": 0.0}, 0.25, (0.5, 0.0)),
    ],
)
def test_two_stages_have_a_threshold_each(
    given: dict[str, float], of_crops: float | None, expected: tuple[float, float]
) -> None:
    """What the user says counts for both, unless it says something else about crops."""
    contract = replace(CONTRACT, kind="topdown", crop_peak_threshold=of_crops)
    resolved = resolved_inference(pb.InferenceParameters(**given), contract)
    assert (resolved.peak_threshold, resolved.crop_peak_threshold) == expected
    assert resolved_inference(resolved, replace(contract, crop_peak_threshold=1.0)) == resolved


def _absent(message: Any) -> list[str]:
    return [field.name for field in message.DESCRIPTOR.fields if not _is_given(message, field)]


def _is_given(message: Any, field: Any) -> bool:
    return (
        message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))
    )


def test_the_window_tracker_takes_every_parameter() -> None:
    window = pb.WindowTrackerParameters(
        window_frame_count=9,
        similarity=pb.SIMILARITY_IOU,
        assignment=pb.ASSIGNMENT_GREEDY,
        max_tracks=5,
        target_instance_count=3,
        min_similarity=0.25,
    )
    assert tracker_config(pb.TrackerParameters(window=window)) == WindowTracker(
        window=9,
        similarity="iou",
        assignment="greedy",
        max_tracks=5,
        target_instance_count=3,
        min_similarity=0.25,
    )


def test_known_animals_are_as_many_tracks() -> None:
    window = pb.WindowTrackerParameters(target_instance_count=2)
    config = tracker_config(pb.TrackerParameters(window=window))
    assert config == WindowTracker.for_animals(2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peak_threshold", -0.1),
        ("crop_peak_threshold", 10.5),
        ("peak_threshold", float("nan")),
        ("max_instances", 0),
        ("batch_size", 0),
        ("batch_size", 257),
    ],
)
def test_an_inference_parameter_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{field} is .*; give a value from") as caught:
        inference_settings(pb.InferenceParameters(**{field: value}))
    assert caught.value.reason == "PARAMETER_INVALID"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_edge_length_ratio", 0.0),
        ("dist_penalty_weight", -1.0),
        ("min_instance_peaks", -1.0),
        ("min_line_scores", 1.5),
        ("n_points", 1),
        ("n_points", 101),
    ],
)
def test_a_grouping_parameter_out_of_range_is_named(field: str, value: float) -> None:
    grouping = pb.PartGroupingParameters(**{field: value})
    with pytest.raises(InvalidArgument, match=f"{field} is") as caught:
        inference_settings(pb.InferenceParameters(part_grouping=grouping))
    assert caught.value.reason == "PARAMETER_INVALID"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_visible_nodes", -1),
        ("min_visible_node_fraction", 1.1),
        ("min_mean_node_score", math.nan),
        ("min_instance_score", math.inf),
        ("overlapping_threshold", -0.1),
        ("overlapping_method", 99),
    ],
)
def test_a_filter_out_of_range_is_named(field: str, value: Any) -> None:
    filters = pb.InstanceFilterParameters(**{field: value})
    with pytest.raises(InvalidArgument, match=f"{field} ") as caught:
        inference_settings(pb.InferenceParameters(filters=filters))
    assert caught.value.reason == "PARAMETER_INVALID"


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("window_frame_count", 0, "window"),
        ("max_tracks", 0, "max_tracks"),
        ("target_instance_count", 0, "target_instance_count"),
        ("min_similarity", 2.0, "min_similarity"),
        ("similarity", 99, "similarity"),
        ("assignment", 99, "assignment"),
    ],
)
def test_a_tracker_parameter_out_of_range_is_named(field: str, value: Any, name: str) -> None:
    window = pb.WindowTrackerParameters(**{field: value})
    with pytest.raises(InvalidArgument, match=name) as caught:
        tracker_config(pb.TrackerParameters(window=window))
    assert caught.value.reason == "PARAMETER_INVALID"


@pytest.mark.parametrize("field", ["window_frame_count", "max_tracks", "target_instance_count"])
def test_an_error_carries_the_name_of_the_field_as_the_contract_has_it(field: str) -> None:
    window = pb.WindowTrackerParameters(**{field: -1})
    with pytest.raises(InvalidArgument, match=f"^{field} is -1") as caught:
        tracker_config(pb.TrackerParameters(window=window))
    assert caught.value.metadata["field"] == field


@pytest.mark.parametrize("value", [0.05, 0.1, 0.3, 0.8])
def test_a_number_means_what_was_written_not_the_nearest_that_travels(value: float) -> None:
    window = pb.WindowTrackerParameters(min_similarity=value)
    config = tracker_config(pb.TrackerParameters(window=window))
    assert config is not None
    assert config.min_similarity == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(InvalidArgument, match="peak_threshold is"):
        inference_settings(pb.InferenceParameters(peak_threshold=value))


@pytest.mark.parametrize(
    ("field", "value"),
    [("similarity", value) for value in pb.Similarity.values()]
    + [("assignment", value) for value in pb.Assignment.values()],
)
def test_every_choice_of_the_contract_is_known(field: str, value: int) -> None:
    window = pb.WindowTrackerParameters(**{field: value})
    assert tracker_config(pb.TrackerParameters(window=window)) is not None


@pytest.mark.parametrize("value", pb.OverlapMeasure.values())
def test_every_measure_of_overlap_of_the_contract_is_known(value: Any) -> None:
    filters = pb.InstanceFilterParameters(overlapping_method=value)
    inference_settings(pb.InferenceParameters(filters=filters))

"""Laws of checked parameters: what is absent takes the default, what is wrong is named."""

import math
from typing import Any

import pytest

from shoal.common.v1 import parameters_pb2 as pb
from shoal_common.convert_parameters import inference_settings, tracker_config
from shoal_common.inference.settings import DEFAULT_BATCH_SIZE, InferenceSettings
from shoal_core.errors import InvalidArgument
from shoal_core.grouping import PartGrouping
from shoal_core.tracking import WindowTracker


def window(**fields: Any) -> pb.TrackerParameters:
    return pb.TrackerParameters(window=pb.WindowTrackerParameters(**fields))


def test_absent_parameters_take_the_defaults() -> None:
    settings = inference_settings(pb.InferenceParameters())
    assert settings == InferenceSettings(None, None, PartGrouping(), DEFAULT_BATCH_SIZE)
    assert tracker_config(window()) == WindowTracker()


def test_absent_tracker_is_none() -> None:
    assert tracker_config(pb.TrackerParameters()) is None


def test_every_inference_parameter_arrives() -> None:
    message = pb.InferenceParameters(
        peak_threshold=0.5,
        max_instances=3,
        batch_size=4,
        part_grouping=pb.PartGroupingParameters(
            max_edge_length_ratio=0.5,
            dist_penalty_weight=2,
            min_instance_peaks=3,
            min_line_scores=-0.25,
        ),
    )
    assert inference_settings(message) == InferenceSettings(
        peak_threshold=0.5,
        max_instances=3,
        batch_size=4,
        part_grouping=PartGrouping(
            max_edge_length_ratio=0.5,
            dist_penalty_weight=2,
            min_instance_peaks=3,
            min_line_scores=-0.25,
        ),
    )


def test_every_tracker_parameter_arrives() -> None:
    message = window(
        window_frame_count=7,
        similarity=pb.SIMILARITY_IOU,
        assignment=pb.ASSIGNMENT_GREEDY,
        max_tracks=4,
        target_instance_count=2,
        min_similarity=0.25,
    )
    assert tracker_config(message) == WindowTracker(
        window=7,
        similarity="iou",
        assignment="greedy",
        max_tracks=4,
        target_instance_count=2,
        min_similarity=0.25,
    )


@pytest.mark.parametrize("value", pb.Similarity.values())
def test_every_similarity_of_the_contract_is_known(value: int) -> None:
    assert tracker_config(window(similarity=value)) is not None


@pytest.mark.parametrize("value", pb.Assignment.values())
def test_every_assignment_of_the_contract_is_known(value: int) -> None:
    assert tracker_config(window(assignment=value)) is not None


def test_known_number_of_animals_bounds_the_tracks() -> None:
    config = tracker_config(window(target_instance_count=2))
    assert config == WindowTracker.for_animals(2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peak_threshold", -0.1),
        ("peak_threshold", math.nan),
        ("peak_threshold", math.inf),
        ("max_instances", 0),
        ("max_instances", 1001),
        ("batch_size", 0),
        ("batch_size", 257),
    ],
)
def test_wrong_inference_parameter_is_named(field: str, value: float) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field} is ") as caught:
        inference_settings(pb.InferenceParameters(**{field: value}))
    assert caught.value.reason == "PARAMETER_INVALID"
    assert caught.value.metadata["field"] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_edge_length_ratio", 0),
        ("max_edge_length_ratio", math.nan),
        ("dist_penalty_weight", -1),
        ("min_instance_peaks", -1),
        ("min_line_scores", -1.5),
        ("min_line_scores", math.nan),
    ],
)
def test_wrong_grouping_parameter_is_named(field: str, value: float) -> None:
    grouping = pb.PartGroupingParameters(**{field: value})
    with pytest.raises(InvalidArgument, match=f"^{field} is ") as caught:
        inference_settings(pb.InferenceParameters(part_grouping=grouping))
    assert caught.value.metadata["field"] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_frame_count", 0),
        ("window_frame_count", 1001),
        ("max_tracks", 0),
        ("target_instance_count", 0),
        ("min_similarity", -0.1),
        ("min_similarity", 1.1),
        ("min_similarity", math.nan),
        ("similarity", 99),
        ("assignment", 99),
    ],
)
def test_wrong_tracker_parameter_is_named(field: str, value: float) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field} ") as caught:
        tracker_config(window(**{field: value}))
    assert caught.value.reason == "PARAMETER_INVALID"
    assert caught.value.metadata["field"] == field

"""The document of everything that shapes a result."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_cli.parser import build_parser
from shoal_cli.track_settings import (
    TrackSettings,
    read_settings,
    settings_from_arguments,
    settings_from_document,
)
from shoal_client import InferenceParameters, PartGrouping, WindowTracker
from shoal_core.errors import InvalidArgument, NotFound

counts = st.none() | st.integers(0, 1000)
numbers = st.none() | st.floats(0, 100, allow_nan=False)
inferences = st.builds(
    InferenceParameters,
    peak_threshold=numbers,
    max_instances=counts,
    batch_size=counts,
    part_grouping=st.none()
    | st.builds(
        PartGrouping,
        max_edge_length_ratio=numbers,
        dist_penalty_weight=numbers,
        min_instance_peaks=counts,
        min_line_scores=numbers,
    ),
)
trackers = st.none() | st.builds(
    WindowTracker,
    window_frame_count=counts,
    similarity=st.sampled_from([None, "oks", "iou", "centroid", "euclidean"]),
    assignment=st.sampled_from([None, "hungarian", "greedy"]),
    max_tracks=counts,
    target_instance_count=counts,
    min_similarity=numbers,
)
all_settings = st.builds(
    TrackSettings,
    models=st.lists(st.text(), max_size=2).map(tuple),
    frames=st.none() | st.just("0-255"),
    inference=inferences,
    tracker=trackers,
    centroids=st.none() | st.text(),
)


@given(all_settings)
def test_a_saved_document_gives_the_same_settings(settings: TrackSettings) -> None:
    assert settings_from_document(json.loads(settings.to_json())) == settings


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"modles": []}, "modles"),
        ({"inference": {"peak_treshold": 0.2}}, "peak_treshold"),
        ({"inference": {"part_grouping": {"min_line_score": 0.2}}}, "min_line_score"),
        ({"tracker": {"method": "window", "max_trakcs": 2}}, "max_trakcs"),
        ({"tracker": {"method": "none", "max_tracks": 2}}, "max_tracks"),
        ({"tracker": {"method": "flow"}}, "flow"),
        ({"tracker": {"method": "window", "similarity": "cosine"}}, "similarity"),
        ({"inference": 3}, "inference"),
        ([], "document"),
    ],
)
def test_what_the_document_gets_wrong_is_named(tmp_path: Path, document: Any, key: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidArgument) as caught:
        read_settings(path)
    assert caught.value.reason == "CONFIG_INVALID"
    assert key in caught.value.message
    assert str(path) in caught.value.message


def test_a_document_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("models: x")
    with pytest.raises(InvalidArgument, match=r"settings\.json is not JSON"):
        read_settings(path)


def test_a_document_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"settings\.json"):
        read_settings(tmp_path / "settings.json")


def arguments(line: str) -> argparse.Namespace:
    return build_parser().parse_args(["track", "v.mp4", "-o", "o.slp", *line.split()])


def test_options_win_over_the_document(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    saved = TrackSettings(
        models=("a",),
        frames="0-9",
        inference=InferenceParameters(peak_threshold=0.5, batch_size=4),
        tracker=WindowTracker(similarity="iou"),
    )
    path.write_text(saved.to_json())
    settings = settings_from_arguments(
        arguments(f"--config {path} -m b --peak-threshold 0.1 --tracker window --animals 2")
    )
    assert settings.models == ("b",)
    assert settings.frames == "0-9"
    assert settings.inference == InferenceParameters(peak_threshold=0.1, batch_size=4)
    assert settings.tracker == WindowTracker(
        similarity="iou", target_instance_count=2, max_tracks=2
    )


def test_without_options_everything_is_the_default() -> None:
    assert settings_from_arguments(arguments("")) == TrackSettings()


def test_the_tracker_of_the_document_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(TrackSettings(tracker=WindowTracker()).to_json())
    assert settings_from_arguments(arguments(f"--config {path} --tracker none")).tracker is None


def test_animals_without_a_tracker_are_refused_with_the_cure() -> None:
    with pytest.raises(InvalidArgument, match="--tracker window"):
        settings_from_arguments(arguments("--animals 2"))

"""The document of everything that shapes a result."""

import argparse
import json
from pathlib import Path
from typing import Any

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_cli.parser import build_parser
from shoal_cli.track_options import settings_from_arguments
from shoal_cli.track_settings import TrackSettings, read_settings, settings_from_document
from shoal_client import (
    ClassGrouping,
    InferenceParameters,
    InstanceFilters,
    PartGrouping,
    WindowTracker,
)
from shoal_core.errors import InvalidArgument, NotFound

counts = st.none() | st.integers(0, 1000)
numbers = st.none() | st.floats(0, 100, allow_nan=False)
inferences = st.builds(
    InferenceParameters,
    peak_threshold=numbers,
    crop_peak_threshold=numbers,
    max_instances=counts,
    batch_size=counts,
    part_grouping=st.none()
    | st.builds(
        PartGrouping,
        max_edge_length_ratio=numbers,
        dist_penalty_weight=numbers,
        min_instance_peaks=counts,
        min_line_scores=numbers,
        n_points=counts,
    ),
    class_grouping=st.none()
    | st.builds(
        ClassGrouping,
        only_best_class=st.sampled_from([None, False, True]),
        peak_value_weight=numbers,
    ),
    filters=st.none()
    | st.builds(
        InstanceFilters,
        min_visible_nodes=counts,
        min_visible_node_fraction=numbers,
        min_mean_node_score=numbers,
        min_instance_score=numbers,
        overlapping_method=st.sampled_from([None, "none", "iou", "oks"]),
        overlapping_threshold=numbers,
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
    model_content_hash=st.none() | st.text(),
    frames=st.none() | st.just("0-255,300"),
    labels=st.none() | st.text(),
    only=st.sampled_from([None, "labeled", "suggested"]),
    inference=inferences,
    tracker=trackers,
    centroids=st.none() | st.text(),
).filter(lambda settings: settings.frames is None or settings.only is None)


@given(all_settings)
def test_a_saved_document_gives_the_same_settings(settings: TrackSettings) -> None:
    assert settings_from_document(json.loads(settings.to_json())) == settings


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"modles": []}, "modles"),
        ({"inference": {"peak_treshold": 0.2}}, "peak_treshold"),
        ({"inference": {"part_grouping": {"min_line_score": 0.2}}}, "min_line_score"),
        ({"inference": {"filters": {"min_score": 0.2}}}, "min_score"),
        ({"inference": {"filters": {"overlapping_method": "giou"}}}, "overlapping_method"),
        ({"only": "unlabeled"}, "only"),
        ({"only": "labeled", "labels": "l.slp", "frames": "0-9"}, "frames"),
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


def test_options_of_one_parameter_leave_the_document_s_others(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    inference = InferenceParameters(
        part_grouping=PartGrouping(n_points=5, min_line_scores=0.5),
        filters=InstanceFilters(min_instance_score=0.5, overlapping_method="iou"),
    )
    path.write_text(TrackSettings(inference=inference).to_json())
    line = f"--config {path} --n-points 7 --filter-overlapping-method oks"
    changed = settings_from_arguments(arguments(line)).inference
    assert changed.part_grouping == PartGrouping(n_points=7, min_line_scores=0.5)
    assert changed.filters == InstanceFilters(min_instance_score=0.5, overlapping_method="oks")


@pytest.mark.parametrize(
    ("line", "frames", "only"),
    [
        ("", "0-9", None),
        ("--frames 3", "3", None),
        ("--only-labeled-frames --labels l.slp", None, "labeled"),
        ("--only-suggested-frames --labels l.slp", None, "suggested"),
    ],
)
def test_frames_are_chosen_in_one_way_and_options_win(
    tmp_path: Path, line: str, frames: str | None, only: str | None
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(TrackSettings(frames="0-9").to_json())
    settings = settings_from_arguments(arguments(f"--config {path} {line}"))
    assert (settings.frames, settings.only) == (frames, only)


def test_another_model_need_not_have_the_content_of_the_document_s(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(TrackSettings(models=("a",), model_content_hash="beef").to_json())
    assert settings_from_arguments(arguments(f"--config {path}")).model_content_hash == "beef"
    assert settings_from_arguments(arguments(f"--config {path} -m b")).model_content_hash is None


def test_only_some_frames_of_no_labels_is_refused_with_the_cure() -> None:
    with pytest.raises(InvalidArgument, match="--labels"):
        settings_from_arguments(arguments("--only-labeled-frames"))


def test_labels_without_a_choice_of_frames_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="add --only-labeled-frames"):
        settings_from_arguments(arguments("--labels l.slp"))
    path = tmp_path / "settings.json"
    path.write_text(TrackSettings(only="labeled", labels="l.slp").to_json())
    assert settings_from_arguments(arguments(f"--config {path} --frames 3")).only is None


DOCUMENT = {"models": ["models/m/versions/1"], "frames": "0-3", "tracker": {"method": "none"}}


def result_file(path: Path, provenance: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        if path.suffix == ".h5":
            file["provenance"] = json.dumps(provenance)
        else:
            file.create_group("metadata").attrs["json"] = json.dumps({"provenance": provenance})
    return path


@pytest.mark.parametrize("name", ["out.slp", "out.analysis.h5"])
def test_predictions_say_how_they_were_made(tmp_path: Path, name: str) -> None:
    path = result_file(tmp_path / name, {"config": DOCUMENT})
    settings = read_settings(path)
    assert settings == TrackSettings(models=("models/m/versions/1",), frames="0-3")


def test_what_a_result_s_document_gets_wrong_names_the_result(tmp_path: Path) -> None:
    path = result_file(tmp_path / "out.slp", {"config": {**DOCUMENT, "newer": 1}})
    with pytest.raises(InvalidArgument, match=r"out\.slp.*newer"):
        read_settings(path)


def test_several_videos_that_were_made_alike_have_one_document(tmp_path: Path) -> None:
    sources = [{"config": DOCUMENT}, {"config": DOCUMENT}]
    path = result_file(tmp_path / "out.slp", {"shoal_provenance": sources})
    assert read_settings(path).frames == "0-3"


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        {"config": "models"},
        {"shoal_provenance": []},
        {"shoal_provenance": [{"config": DOCUMENT}, {"config": {**DOCUMENT, "frames": "5"}}]},
    ],
)
def test_predictions_without_one_document_are_refused(
    tmp_path: Path, provenance: dict[str, Any]
) -> None:
    path = result_file(tmp_path / "out.slp", provenance)
    with pytest.raises(InvalidArgument, match=r"out\.slp") as caught:
        read_settings(path)
    assert caught.value.reason == "CONFIG_INVALID"


def test_a_file_that_is_none_of_predictions_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out.slp"
    path.write_bytes(b"no HDF5")
    with pytest.raises(InvalidArgument, match=r"out\.slp is no file of predictions"):
        read_settings(path)

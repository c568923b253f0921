"""What the options of `shoal track` say, over the document that they refer to."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from shoal_cli.track_settings import TrackSettings, read_settings
from shoal_client import ClassGrouping, InstanceFilters, PartGrouping, WindowTracker
from shoal_core.errors import InvalidArgument

_GROUPING = (
    "max_edge_length_ratio",
    "dist_penalty_weight",
    "n_points",
    "min_instance_peaks",
    "min_line_scores",
)
_CLASSES = ("only_best_class", "peak_value_weight")
_FILTERS = (
    "min_visible_nodes",
    "min_visible_node_fraction",
    "min_mean_node_score",
    "min_instance_score",
    "overlapping_method",
    "overlapping_threshold",
)

Parameters = TypeVar("Parameters", PartGrouping, ClassGrouping, InstanceFilters)


def settings_from_arguments(arguments: argparse.Namespace) -> TrackSettings:
    """Returns the settings of the document, if one is given, overridden by the options.

    Raises:
        NotFound: CONFIG_NOT_FOUND.
        InvalidArgument: CONFIG_INVALID, TRACKER_MISSING, LABELS_MISSING or FRAMES_INVALID.
    """
    config: Path | None = arguments.config
    settings = TrackSettings() if config is None else read_settings(config)
    inference = replace(
        settings.inference,
        part_grouping=_overridden(
            settings.inference.part_grouping, PartGrouping(), _given(arguments, *_GROUPING)
        ),
        class_grouping=_overridden(
            settings.inference.class_grouping, ClassGrouping(), _given(arguments, *_CLASSES)
        ),
        filters=_overridden(
            settings.inference.filters,
            InstanceFilters(),
            {name: value for name in _FILTERS for value in _option(arguments, f"filter_{name}")},
        ),
        **_given(arguments, "peak_threshold", "crop_peak_threshold", "max_instances", "batch_size"),
    )
    settings = replace(
        settings,
        inference=inference,
        tracker=_chosen_tracker(arguments, settings.tracker),
        **_frames(arguments),
        **_model(arguments),
        **_given(arguments, "labels", "centroids"),
    )
    if settings.only is not None and settings.labels is None:
        raise InvalidArgument(
            "LABELS_MISSING",
            f"Only {settings.only} frames are wanted; add --labels with the file that has them.",
        )
    if settings.only is None and arguments.labels is not None:
        raise InvalidArgument(
            "FRAMES_INVALID",
            "--labels does not say which frames are wanted; add --only-labeled-frames or "
            "--only-suggested-frames.",
        )
    return settings


def _model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Another model than the document's need not have its content."""
    if arguments.models is None:
        return {}
    return {"models": tuple(arguments.models), "model_content_hash": None}


def _frames(arguments: argparse.Namespace) -> dict[str, Any]:
    """Frames are chosen in one way; the last word is that of the options."""
    if arguments.only is not None:
        return {"only": arguments.only, "frames": None}
    if arguments.frames is not None:
        return {"frames": arguments.frames, "only": None}
    return {}


def _overridden(
    configured: Parameters | None, default: Parameters, given: dict[str, Any]
) -> Parameters | None:
    return replace(configured or default, **given) if given else configured


def _chosen_tracker(
    arguments: argparse.Namespace, configured: WindowTracker | None
) -> WindowTracker | None:
    tracker = configured
    if arguments.tracker == "none":
        tracker = None
    elif arguments.tracker == "window":
        tracker = configured or WindowTracker()
    if arguments.animals is None:
        return tracker
    if tracker is None:
        raise InvalidArgument(
            "TRACKER_MISSING", "--animals tells the tracker what to expect; add --tracker window."
        )
    return replace(tracker, target_instance_count=arguments.animals, max_tracks=arguments.animals)


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names for value in _option(arguments, name)}


def _option(arguments: argparse.Namespace, name: str) -> list[Any]:
    """Returns the value of an option, if it was given."""
    value = getattr(arguments, name)
    return [] if value is None else [value]

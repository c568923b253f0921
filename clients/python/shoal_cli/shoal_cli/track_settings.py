"""Everything that shapes the result of `shoal track`, as a JSON document.

    {
      "models": ["flies@prod"],
      "frames": "0-255",
      "inference": {"peak_threshold": 0.2, "max_instances": null, "batch_size": null,
                    "part_grouping": {"min_line_scores": 0.25, …}},
      "tracker": {"method": "window", "window_frame_count": 5, "similarity": "oks", …},
      "centroids": null
    }

A missing key and null both mean the default; `"tracker": {"method": "none"}` links nothing.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shoal_client import InferenceParameters, PartGrouping, WindowTracker
from shoal_common.config import from_mapping
from shoal_core.errors import InvalidArgument, NotFound


@dataclass(frozen=True)
class TrackSettings:
    """What the options of `shoal track` and the document say."""

    models: tuple[str, ...] = ()
    """Registered names or folders, as after -m."""
    frames: str | None = None
    """FIRST-LAST, both included; None for all."""
    inference: InferenceParameters = field(default_factory=InferenceParameters)
    tracker: WindowTracker | None = None
    """None: no linking."""
    centroids: str | None = None
    """File of labels that says where the animals are."""

    def to_json(self) -> str:
        """Returns the document; read again, it gives these settings."""
        document = dataclasses.asdict(self)
        window = document["tracker"]
        document["tracker"] = (
            {"method": "none"} if window is None else {"method": "window"} | window
        )
        return json.dumps(document, indent=2) + "\n"


def read_settings(path: Path) -> TrackSettings:
    """Returns the settings of a document.

    Raises:
        NotFound: CONFIG_NOT_FOUND.
        InvalidArgument: CONFIG_INVALID when it is not JSON, or a key is unknown or of the wrong
            type.
    """
    if not path.is_file():
        raise NotFound("CONFIG_NOT_FOUND", f"There is no configuration file {path}.", path=path)
    try:
        return settings_from_document(json.loads(path.read_bytes()))
    except ValueError as error:
        raise InvalidArgument(
            "CONFIG_INVALID", f"{path} is not JSON: {error}.", path=path
        ) from error
    except InvalidArgument as error:
        raise InvalidArgument(error.reason, f"{path}: {error.message}", path=path) from error


def settings_from_document(document: Any) -> TrackSettings:
    """Returns the settings that a document says.

    Raises:
        InvalidArgument: CONFIG_INVALID.
    """
    values = _section("the document", document)
    inference = _section("inference", values.pop("inference", {}))
    grouping = inference.pop("part_grouping", None)
    if grouping is not None:
        inference["part_grouping"] = from_mapping(PartGrouping, _section("part_grouping", grouping))
    values["inference"] = from_mapping(InferenceParameters, inference)
    tracker = values.pop("tracker", None)
    if tracker is not None:
        values["tracker"] = _tracker(_section("tracker", tracker))
    return from_mapping(TrackSettings, values)


def settings_from_arguments(arguments: argparse.Namespace) -> TrackSettings:
    """Returns the settings of the document, if one is given, overridden by the options.

    Raises:
        NotFound: CONFIG_NOT_FOUND.
        InvalidArgument: CONFIG_INVALID, TRACKER_MISSING.
    """
    settings = TrackSettings() if arguments.config is None else read_settings(arguments.config)
    inference = _given(arguments, "peak_threshold", "max_instances", "batch_size")
    settings = replace(
        settings,
        inference=replace(settings.inference, **inference),
        tracker=_chosen_tracker(arguments, settings.tracker),
        **_given(arguments, "models", "frames", "centroids"),
    )
    return replace(settings, models=tuple(settings.models))


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
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _tracker(values: dict[str, Any]) -> WindowTracker | None:
    match values.pop("method", None):
        case "window":
            return from_mapping(WindowTracker, values)
        case "none" if not values:
            return None
        case method:
            raise InvalidArgument(
                "CONFIG_INVALID",
                f"The tracker's method is {method!r} with the keys {sorted(values)}; write "
                '"window", or "none" without further keys.',
            )


def _section(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgument("CONFIG_INVALID", f"{name} must be a JSON object, not {value!r}.")
    # null means the default, as a missing key does
    return {key: item for key, item in value.items() if item is not None}

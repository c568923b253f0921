"""Everything that shapes the result of `shoal track`, as a JSON document.

The document is that of a job (`shoal_common.track_document`), with these keys more:

    "labels": "labels.slp",     file of labels that `only` refers to
    "only": "labeled"           or "suggested": the frames that the labels point at

A missing key and null both mean the default; `"tracker": {"method": "none"}` links nothing.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal_cli.chosen_frames import Choice
from shoal_cli.provenance import recorded_document
from shoal_client import (
    ClassGrouping,
    InferenceParameters,
    InstanceFilters,
    PartGrouping,
    WindowTracker,
)
from shoal_common.config import from_mapping
from shoal_core.errors import InvalidArgument, NotFound

ALL_FRAMES = "all"
_RESULTS = (".slp", ".h5")


@dataclass(frozen=True)
class TrackSettings:
    """What the options of `shoal track` and the document say."""

    models: tuple[str, ...] = ()
    """Registered names or folders, as after -m."""
    model_content_hash: str | None = None
    """Hash of the files that the model must have been imported from; None for any."""
    frames: str | None = None
    """FIRST-LAST or single frames, both included, separated by commas; None or "all" for all."""
    labels: str | None = None
    """File of labels that `only` refers to."""
    only: Choice | None = None
    """Process the frames that people have labeled, or those that are suggested to them."""
    inference: InferenceParameters = field(default_factory=InferenceParameters)
    tracker: WindowTracker | None = None
    """None: no linking."""
    centroids: str | None = None
    """Where the animals are: a file of labels, or projects/{project}/labelSets/{label_set}."""

    def to_json(self) -> str:
        """Returns the document; read again, it gives these settings."""
        document = dataclasses.asdict(self)
        window = document["tracker"]
        document["tracker"] = (
            {"method": "none"} if window is None else {"method": "window"} | window
        )
        return json.dumps(document, indent=2) + "\n"


def read_settings(path: Path) -> TrackSettings:
    """Returns the settings of a document, or of the predictions in a .slp or analysis file.

    Raises:
        NotFound: CONFIG_NOT_FOUND.
        InvalidArgument: CONFIG_INVALID when it is not JSON, or a key is unknown or of the wrong
            type, or when the predictions do not say how they were made.
    """
    if not path.is_file():
        raise NotFound("CONFIG_NOT_FOUND", f"There is no configuration file {path}.", path=path)
    try:
        document = (
            recorded_document(path) if path.suffix in _RESULTS else json.loads(path.read_bytes())
        )
    except ValueError as error:
        raise InvalidArgument(
            "CONFIG_INVALID", f"{path} is not JSON: {error}.", path=path
        ) from error
    try:
        return settings_from_document(document)
    except InvalidArgument as error:
        raise InvalidArgument(error.reason, f"{path}: {error.message}", path=path) from error


def settings_from_document(document: Any) -> TrackSettings:
    """Returns the settings that a document says.

    Raises:
        InvalidArgument: CONFIG_INVALID.
    """
    values = _section("the document", document)
    inference = _section("inference", values.pop("inference", {}))
    for name, parameters in (
        ("part_grouping", PartGrouping),
        ("class_grouping", ClassGrouping),
        ("filters", InstanceFilters),
    ):
        if name in inference:
            inference[name] = from_mapping(parameters, _section(name, inference[name]))
    values["inference"] = from_mapping(InferenceParameters, inference)
    tracker = values.pop("tracker", None)
    if tracker is not None:
        values["tracker"] = _tracker(_section("tracker", tracker))
    settings = from_mapping(TrackSettings, values)
    if settings.frames is not None and settings.only is not None:
        raise InvalidArgument(
            "CONFIG_INVALID",
            f'Frames are chosen twice, by "frames" ({settings.frames[:40]}) and by "only" '
            f"({settings.only}); leave one of them out.",
        )
    return settings


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

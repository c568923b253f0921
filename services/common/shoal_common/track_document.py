"""Everything that shapes the result of a job, as one JSON document.

    {
      "models": ["models/flies/versions/1"],
      "model_content_hash": "9f86d0…",
      "frames": "0-255,300",
      "inference": {
        "peak_threshold": 0.2, "max_instances": null, "batch_size": 16,
        "part_grouping": {"max_edge_length_ratio": 0.25, …},
        "class_grouping": {"only_best_class": false, "peak_value_weight": 0},
        "filters": {"min_visible_nodes": 0, …, "overlapping_method": "none", …}
      },
      "tracker": {"method": "window", "window_frame_count": 5, …},
      "centroids": null
    }

Names and meanings are those of `shoal.common.v1`, choices are in lower case. A limit that is
null does not exist.
"""

from typing import Any

from google.protobuf import json_format

from shoal.common.v1 import parameters_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common.frame_ranges import spec_runs
from shoal_core.frame_runs import runs_text

CONFIG = "config"
"""Key of the document in the provenance of predictions."""


def track_document(spec: jobs_pb2.TrackJobSpec) -> dict[str, Any]:
    """Returns the document of a job's resolved specification."""
    inference = _values(spec.inference)
    inference["part_grouping"] = _values(spec.inference.part_grouping)
    inference["class_grouping"] = _values(spec.inference.class_grouping)
    inference["filters"] = _values(spec.inference.filters)
    tracker = {"method": "none"}
    if spec.HasField("tracker"):
        tracker = {"method": "window", **_values(spec.tracker.window)}
    return {
        "models": [spec.model_version],
        "model_content_hash": spec.model_content_hash,
        "frames": runs_text(spec_runs(spec)),
        "inference": inference,
        "tracker": tracker,
        "centroids": spec.centroids_label_set or None,
    }


def _values(
    message: parameters_pb2.InferenceParameters
    | parameters_pb2.PartGroupingParameters
    | parameters_pb2.ClassGroupingParameters
    | parameters_pb2.InstanceFilterParameters
    | parameters_pb2.WindowTrackerParameters,
) -> dict[str, Any]:
    """Returns every field, absent ones as None, choices without the name of their enum."""
    given = json_format.MessageToDict(message, preserving_proto_field_name=True)
    prefixes = {
        field.name: field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        for field in message.DESCRIPTOR.fields
        if field.enum_type is not None
    }
    return {
        field.name: str(given[field.name]).removeprefix(prefixes[field.name]).lower()
        if field.name in prefixes and field.name in given
        else given.get(field.name)
        for field in message.DESCRIPTOR.fields
    }

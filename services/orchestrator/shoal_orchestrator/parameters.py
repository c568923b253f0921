"""Which values the parameters of a track job may have."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from shoal.common.v1 import parameters_pb2
from shoal_core.errors import InvalidArgument

Ranges = Mapping[str, tuple[float, float]]
"""Field → least and greatest value, both allowed."""

INFERENCE: Ranges = MappingProxyType(
    {"peak_threshold": (0, 1), "max_instances": (1, math.inf), "batch_size": (1, 1024)}
)
PART_GROUPING: Ranges = MappingProxyType(
    {
        "max_edge_length_ratio": (0, math.inf),
        "dist_penalty_weight": (0, math.inf),
        "min_instance_peaks": (0, math.inf),
        "min_line_scores": (-1, 1),
    }
)
WINDOW: Ranges = MappingProxyType(
    {
        "window_frame_count": (1, math.inf),
        "max_tracks": (1, math.inf),
        "target_instance_count": (1, math.inf),
        "min_similarity": (-math.inf, math.inf),
    }
)


def check_inference(inference: parameters_pb2.InferenceParameters) -> None:
    """Accepts parameters of inference.

    Raises:
        InvalidArgument: PARAMETER_INVALID, with the field and its range.
    """
    _check_ranges("inference", inference, INFERENCE)
    _check_ranges("inference.part_grouping", inference.part_grouping, PART_GROUPING)


def check_tracker(tracker: parameters_pb2.TrackerParameters) -> None:
    """Accepts parameters of a tracker.

    Raises:
        InvalidArgument: PARAMETER_INVALID, with the field and its range.
    """
    window = tracker.window
    _check_ranges("tracker.window", window, WINDOW)
    if window.similarity not in parameters_pb2.Similarity.values():
        names = parameters_pb2.Similarity.keys()
        raise _invalid("tracker.window.similarity", window.similarity, ", ".join(names))
    if window.assignment not in parameters_pb2.Assignment.values():
        names = parameters_pb2.Assignment.keys()
        raise _invalid("tracker.window.assignment", window.assignment, ", ".join(names))


def _check_ranges(path: str, message: Message, ranges: Ranges) -> None:
    for field, (least, greatest) in ranges.items():
        value = getattr(message, field)
        if message.HasField(field) and not least <= value <= greatest:  # NaN is in no range
            allowed = (
                f"{least} to {greatest}" if math.isfinite(greatest) else f"a number from {least} on"
            )
            raise _invalid(f"{path}.{field}", value, allowed)


def _invalid(field: str, value: float, allowed: str) -> InvalidArgument:
    return InvalidArgument(
        "PARAMETER_INVALID",
        f"{field} is {value:g}; it must be {allowed}.",
        field=field,
        value=value,
        allowed=allowed,
    )

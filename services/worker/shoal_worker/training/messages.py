"""What a trainer publishes: JSON messages in the shape of SLEAP's, {"what", "event", "logs"}."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from shoal.jobs.v1 import training_pb2

logger = logging.getLogger(__name__)


class TrainerEvent(Enum):
    """Events of SLEAP's monitor that carry measurements."""

    BATCH_END = "batch_end"
    EPOCH_END = "epoch_end"


@dataclass(frozen=True)
class Report:
    """One message with measurements."""

    event: TrainerEvent
    measurement: training_pb2.TrainingMeasurement


_FIELDS = {
    "step": ("step", int),
    "epochs": ("epoch_count", int),
    "loss": ("loss", float),
    "val_loss": ("validation_loss", float),
    "best_val_loss": ("best_validation_loss", float),
    "lr": ("learning_rate", float),
    "samples_per_s": ("samples_per_second", float),
}
"""Names in `logs` that have a field of their own."""
_REMAINING = "remaining_s"


def report(message: bytes) -> Report | None:
    """Returns the measurements of a message; None for one that has none.

    A message that is not understood is logged: it says that the trainer lives, no more.
    """
    try:
        content = json.loads(message)
        name, logs = content["event"], content.get("logs") or {}
        event = next((event for event in TrainerEvent if event.value == name), None)
        if event is None:
            return None
        epoch = int(content.get("epoch", logs.get("epoch", 0)))
        return Report(event, _measurement(epoch, logs))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("a trainer's message is not understood (%r): %.200r", error, message)
        return None


def _measurement(epoch: int, logs: Mapping[str, Any]) -> training_pb2.TrainingMeasurement:
    measurement = training_pb2.TrainingMeasurement(epoch=epoch)
    for name, value in logs.items():
        if name == "epoch" or not isinstance(value, int | float):
            continue
        if name in _FIELDS and math.isfinite(value):
            field, convert = _FIELDS[name]
            setattr(measurement, field, convert(value))
        elif name == _REMAINING and math.isfinite(value):
            measurement.remaining_ms = round(value * 1000)
        else:
            measurement.values[name] = value
    return measurement


def metrics(document: object) -> dict[str, float]:
    """Returns the figures of an evaluation by name, names within others joined by dots.

    Args:
        document: `metrics.json` as JSON values; lists and text in it are left out.
    """
    found: dict[str, float] = {}
    if isinstance(document, Mapping):
        for name, value in document.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[str(name)] = float(value)
            for inner, figure in metrics(value).items():
                found[f"{name}.{inner}"] = figure
    return found

"""Which runtime and precision each network of a served model runs in, and how that was found.

A version folder may hold `tuning.json` (this). Without it, and on another processor than the one
that it was measured on, every network runs in float32: in our own kernels where they compute it,
otherwise in ONNX Runtime. Glue always runs in ONNX Runtime.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from shoal_core.errors import InvalidArgument

TUNING_FILE = "tuning.json"

PROCESSOR_PARAMETER = "processor"
"""Name of the engine's model parameter that says which processor it runs on."""

Backend = Literal[
    "onnxruntime-fp32", "winograd-fp32", "openvino-fp32", "openvino-bf16", "openvino-int8"
]
"""Runtime and precision of a network."""
BACKENDS: tuple[Backend, ...] = get_args(Backend)
REFERENCE_BACKEND: Backend = "onnxruntime-fp32"
"""What the others are compared with; it runs any network."""

ANY_PROCESSOR = ""
"""Of a choice that somebody has made rather than measured: it counts everywhere."""


def quantized_file(file: str) -> str:
    """Returns the name of the INT8 copy of a network's ONNX file."""
    return f"{file.removesuffix('.onnx')}.int8.onnx"


@dataclass(frozen=True)
class Trial:
    """One backend, tried for one network on one processor."""

    step: str
    """The network: name of the chain's step."""
    backend: Backend
    frame_ms: float | None
    """Time per frame of a batch, all networks together; None where the backend
    was refused before it could be timed."""
    median_px: float | None = None
    """How far nodes move from where float32 finds them; None where nothing can be compared."""
    p99_px: float | None = None
    refusal: str = ""
    """Why the backend may not be used; empty if it may."""


@dataclass(frozen=True)
class Tuning:
    """The backend of each network, and the trials that it was chosen by."""

    processor: str
    """Where it was measured, as the engine describes it; ANY_PROCESSOR for what was pinned."""
    backends: Mapping[str, Backend]
    """Step name → backend; others run as they do untuned."""
    trials: tuple[Trial, ...] = ()

    def counts_on(self, processor: str) -> bool:
        """Whether the choice holds on a processor."""
        return self.processor in (ANY_PROCESSOR, processor)

    def to_json(self) -> str:
        """Returns the tuning as one JSON object with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Returns the tuning that `to_json` wrote.

        Raises:
            InvalidArgument: TUNING_INVALID when a key or a backend is missing or unknown.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            trials = tuple(Trial(**trial) for trial in fields.pop("trials"))
            tuning = cls(trials=trials, **fields)
            unknown = set(tuning.backends.values()) - set(BACKENDS)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _invalid(str(error)) from error
        if unknown:
            raise _invalid(f"unknown backend {', '.join(sorted(map(str, unknown)))}")
        return tuning


def _invalid(problem: str) -> InvalidArgument:
    return InvalidArgument(
        "TUNING_INVALID",
        f"The model's {TUNING_FILE} cannot be read ({problem}); tune the model again.",
    )

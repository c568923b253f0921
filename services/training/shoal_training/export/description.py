"""`shoal_model.json`: what serving has to know about a network (README.md, "The model folder")."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch

from shoal_core.errors import InvalidArgument
from shoal_training.heads import OFFSETS_HEAD
from shoal_training.model_spec import ModelSpec

FORMAT = "shoal-model"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What the file says.

    Raises:
        InvalidArgument: CROP_SIZE_MISSING when a model that sees crops has no crop size.
    """

    spec: ModelSpec
    name: str
    """For people; empty: the kind."""
    training_data_hash: str
    """SHA-256 of the labels that were trained on, hexadecimal."""
    evaluation: Mapping[str, Any] | None
    """Figures of the held-out split as JSON values (finite numbers); None: there are none."""

    def __post_init__(self) -> None:
        if self.spec.sees_crops and self.spec.crop_size_px is None:
            raise InvalidArgument(
                "CROP_SIZE_MISSING",
                f"A {self.spec.kind} model needs data.crop_size_px to be exported; give the run's "
                "resolved configuration.",
                kind=self.spec.kind,
            )

    def to_json(self) -> str:
        """Returns the contents of the file."""
        spec = self.spec
        has_offsets = spec.head(OFFSETS_HEAD) is not None
        document = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "software": _software(),
            "name": self.name or spec.kind,
            "kind": spec.kind,
            "skeleton": asdict(spec.skeleton),
            "classes": spec.classes,
            "anchor_part": spec.anchor_part,
            "crop_size_px": spec.crop_size_px,
            "input_scale": spec.input_scale,
            "antialias": spec.antialias,
            "channels": spec.channels,
            "max_stride": spec.max_stride,
            "heads": [
                {key: getattr(head, key) for key in ("name", "channels", "stride", "is_map")}
                for head in spec.heads
            ],
            "refinement": "offsets" if has_offsets else "integral",
            "peak_threshold": spec.peak_threshold,
            "training_data_hash": self.training_data_hash,
            "evaluation": self.evaluation,
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _software() -> str:
    """Returns who writes the file, for example "shoal 0.1.0 (PyTorch 2.13.0)"."""
    return f"shoal {version('shoal-training')} (PyTorch {torch.__version__.split('+')[0]})"

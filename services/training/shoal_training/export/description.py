"""`shoal_model.json`: what serving has to know about a network (README.md, "The model folder")."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

import torch

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_training.config import ModelKind, TrainingConfig
from shoal_training.heads import OFFSETS_HEAD, HeadSpec
from shoal_training.networks import PoseNetwork

FORMAT = "shoal-model"
FORMAT_VERSION = 1
PEAK_THRESHOLD = 0.2
"""Of confidence maps, as SLEAP's."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """The file's keys; README.md says what each is."""

    software: str
    name: str
    kind: ModelKind
    skeleton: Skeleton
    classes: tuple[str, ...]
    anchor_part: str | None
    crop_size_px: int | None
    input_scale: float
    antialias: bool
    channels: int
    max_stride: int
    heads: tuple[HeadSpec, ...]
    refinement: Literal["integral", "offsets"]
    peak_threshold: float
    training_data_hash: str
    evaluation: Mapping[str, Any] | None

    def to_json(self) -> str:
        """Returns the contents of the file."""
        fields = asdict(self)
        fields["heads"] = [
            {key: getattr(spec, key) for key in ("name", "channels", "stride", "is_map")}
            for spec in self.heads
        ]
        document = {"format": FORMAT, "version": FORMAT_VERSION, **fields}
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def describe(
    config: TrainingConfig,
    network: PoseNetwork,
    *,
    skeleton: Skeleton,
    classes: tuple[str, ...],
    training_data_hash: str,
    evaluation: Mapping[str, Any] | None,
) -> ModelDescription:
    """Returns the description of a trained network.

    Args:
        config: The run's resolved configuration, crop size included.
        network: The trained network.
        skeleton: Of the labels.
        classes: Identities in the order of the heads' channels; empty: none.
        training_data_hash: SHA-256 of the labels that were trained on, hexadecimal.
        evaluation: Figures of the held-out split as JSON values (finite numbers); None: none.

    Raises:
        InvalidArgument: CROP_SIZE_MISSING when a model that sees crops has no crop size.
    """
    is_cropped = config.kind in ("centered_instance", "multiclass_centered_instance")
    if is_cropped and config.data.crop_size_px is None:
        raise InvalidArgument(
            "CROP_SIZE_MISSING",
            f"A {config.kind} model needs data.crop_size_px to be exported; give the run's "
            "resolved configuration.",
            kind=config.kind,
        )
    heads = network.inference_network().heads
    has_offsets = any(spec.name == OFFSETS_HEAD for spec in heads)
    always_there = any(spec.output == "spatial_softmax" for spec in network.heads)
    return ModelDescription(
        software=f"shoal {version('shoal-training')} (PyTorch {torch.__version__.split('+')[0]})",
        name=config.name or config.kind,
        kind=config.kind,
        skeleton=skeleton,
        classes=classes,
        anchor_part=config.data.anchor_part,
        crop_size_px=config.data.crop_size_px if is_cropped else None,
        input_scale=config.data.input_scale,
        antialias=False,
        channels=network.channels,
        max_stride=network.max_stride,
        heads=heads,
        refinement="offsets" if has_offsets else "integral",
        # A softmax over the map says where a node is, not whether.
        peak_threshold=0.0 if always_there else PEAK_THRESHOLD,
        training_data_hash=training_data_hash,
        evaluation=evaluation,
    )

"""The front door: model folders in, a served model out.

Predictions of SLEAP's own top-down models sit (−0.5, −0.5) px from where they should be:
SLEAP cuts a crop of side s at centroid − (s − 1) / 2 and maps what it finds back with
centroid − s / 2. Imported models map back with what was cut, so their nodes lie 0.5 px
further right and down than SLEAP's, on the labels. In the same way, SLEAP adds 0.5 px to
the result of a network whose input is scaled (scale ≠ 1), although labels are scaled
without such a shift in training; imported models do not.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from shoal_common.inference.contract import ModelKind, PoseContract
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.package import write_package
from shoal_serving.importing.keras_folder import (
    KerasFolder,
    find_stage_folders,
    order_stages,
    read_keras_folder,
)


def import_model(folders: Sequence[Path], destination: Path) -> PoseContract:
    """Writes the served model of one or two SLEAP ≤ 1.4 folders; returns its contract.

    Args:
        folders: A model folder, a folder that holds both stages of a top-down model, or both
            stages' folders in any order.
        destination: The version folder; must not exist yet. It appears whole or not at all.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_FILE_DAMAGED, MODEL_CONFIG_INVALID,
            MODEL_WEIGHTS_MISMATCH, MODEL_KIND_UNSUPPORTED; each names the file or layer.
        AlreadyExists: MODEL_VERSION_EXISTS when the destination exists.
    """
    if not folders:
        raise InvalidArgument("MODEL_FILE_MISSING", "Give at least one model folder.")
    stage_folders = [stage for folder in folders for stage in find_stage_folders(folder)]
    models = order_stages([read_keras_folder(folder) for folder in stage_folders])
    contract = _contract(models)
    write_package(destination, contract, [model.network for model in models])
    return contract


def _contract(models: Sequence[KerasFolder]) -> PoseContract:
    last = models[-1].config
    kind = cast("ModelKind", "topdown" if len(models) == 2 else last.stage)
    parts_family = kind in ("bottomup", "multiclass_bottomup")
    channels = cast("Literal[1, 3]", models[0].network.body.channels)
    version = f" {last.sleap_version}" if last.sleap_version else ""
    return PoseContract(
        family="parts" if parts_family else "instances",
        kind=kind,
        skeleton=last.skeleton,
        channels=channels,
        stages=tuple(model.network.stage for model in models),
        classes=last.classes,
        crop_size_px=last.crop_size_px,
        anchor_part=models[0].config.anchor_part,
        max_instances=_max_instances(kind),
        source=f"SLEAP{version} (Keras)",
        source_hash=_hash([path for model in models for path in model.files]),
    )


def _max_instances(kind: ModelKind) -> int:
    return 1 if kind == "single_instance" else 20


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()

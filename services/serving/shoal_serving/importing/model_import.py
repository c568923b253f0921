"""The front door: model folders in, a served model out.

Predictions of SLEAP's own top-down models sit (−0.5, −0.5) px from where they should be:
SLEAP cuts a crop of side s at centroid − (s − 1) / 2 and maps what it finds back with
centroid − s / 2. Imported models map back with what was cut, so their nodes lie 0.5 px
further right and down than SLEAP's, on the labels. In the same way, SLEAP adds 0.5 px to
the result of a network whose input is scaled (scale ≠ 1), although labels are scaled
without such a shift in training; imported models do not.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from shoal_common.inference.contract import ModelKind, PoseContract
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.package import write_package
from shoal_serving.importing import keras_config, shoal_files, torch_files
from shoal_serving.importing.keras_folder import read_keras_folder
from shoal_serving.importing.parity import check_parity
from shoal_serving.importing.shoal_folder import read_shoal_folder
from shoal_serving.importing.torch_folder import read_torch_folder
from shoal_serving.importing.trained_model import TrainedModel, order_stages

READERS: Mapping[str, Callable[[Path], TrainedModel]] = {
    shoal_files.CONFIG_FILE: read_shoal_folder,
    keras_config.CONFIG_FILE: read_keras_folder,
    torch_files.CONFIG_FILE: read_torch_folder,
}
"""Name of the configuration → what reads a folder that has it."""


def import_model(folders: Sequence[Path], destination: Path) -> PoseContract:
    """Writes the served model of one or two model folders; returns its contract.

    Args:
        folders: A model folder of Shoal, SLEAP or sleap-nn, a run folder with one in `model`,
            a folder that holds both stages of a top-down model, or both stages' folders in any
            order.
        destination: The version folder; must not exist yet. It appears whole or not at all.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_FILE_DAMAGED, MODEL_FILE_UNSAFE,
            MODEL_CONFIG_INVALID, MODEL_WEIGHTS_MISMATCH, MODEL_KIND_UNSUPPORTED; each names
            the file or layer.
        FailedPrecondition: PARITY_FAILED when a network does not find what its training found;
            PARITY_EMPTY when that was nothing.
        AlreadyExists: MODEL_VERSION_EXISTS when the destination exists.
    """
    if not folders:
        raise InvalidArgument("MODEL_FILE_MISSING", "Give at least one model folder.")
    models = order_stages([model for folder in folders for model in _read_stages(folder)])
    models = tuple(_checked(model) for model in models)
    contract = _contract(models)
    write_package(destination, contract, [model.network for model in models])
    return contract


def _checked(model: TrainedModel) -> TrainedModel:
    """Returns the model with the report of its parity; each network is checked alone."""
    if model.parity_frames is None:
        return model
    network = model.network
    parity = check_parity(_contract([model]), network, model.parity_frames)
    return replace(model, network=replace(network, stage=replace(network.stage, parity=parity)))


def _read_stages(folder: Path) -> list[TrainedModel]:
    """Returns the models of a folder: its own, or those of the folders in it."""
    if not folder.is_dir():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"There is no folder {folder}; give the folder that training made.",
            folder=folder,
        )
    inner = sorted(
        {
            path.parent
            for name in READERS
            for pattern in (f"*/{name}", f"*/{shoal_files.MODEL_FOLDER}/{name}")
            for path in folder.glob(pattern)
        }
    )
    for candidates in ([folder], inner):
        found = [READERS[name](path) for path in candidates for name in _config_names(path)]
        if found:
            return found
    raise InvalidArgument(
        "MODEL_FILE_MISSING",
        f"{folder} has no {' or '.join(READERS)}, nor has any folder in it; give the folder that "
        "training made.",
        folder=folder,
    )


def _config_names(folder: Path) -> list[str]:
    """Returns the name of the folder's configuration, or nothing when it has none."""
    return [name for name in READERS if (folder / name).is_file()][:1]


def _contract(models: Sequence[TrainedModel]) -> PoseContract:
    last = models[-1]
    stage = last.network.stage.name
    pair = "multiclass_topdown" if last.classes else "topdown"
    kind = cast("ModelKind", pair if len(models) == 2 else stage)
    parts_family = kind in ("bottomup", "multiclass_bottomup")
    channels = cast("Literal[1, 3]", models[0].network.body.channels)
    return PoseContract(
        family="parts" if parts_family else "instances",
        kind=kind,
        skeleton=last.skeleton,
        channels=channels,
        stages=tuple(model.network.stage for model in models),
        classes=last.classes,
        crop_size_px=last.crop_size_px,
        target_size_px=models[0].target_size_px,
        anchor_part=models[0].anchor_part,
        max_instances=_max_instances(kind),
        max_peaks_per_node=_max_peaks_per_node(kind),
        peak_threshold=models[0].peak_threshold,
        crop_peak_threshold=last.peak_threshold if len(models) == 2 else None,
        scores_nodes=last.scores_nodes,
        source=last.source,
        source_hash=_hash([path for model in models for path in model.files]),
    )


def _max_instances(kind: ModelKind) -> int:
    return 1 if kind == "single_instance" else 20


def _max_peaks_per_node(kind: ModelKind) -> int:
    """Returns room for all peaks: ID models find many that belong to no class, others pair them."""
    return 64 if kind == "multiclass_bottomup" else 20


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""What stands after -m: a registered name, or folders with a trained model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_core.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from shoal_client import Shoal

_WEIGHTS = {
    "shoal_model.json": "network.onnx",
    "training_config.json": "best_model.h5",
    "training_config.yaml": "best.ckpt",
}
"""Configuration of a trained model → what holds its weights."""
_RUN_MODEL = "model"
"""Folder of a Shoal training run that holds the model."""
_LONGEST_NAME = 63


@dataclass(frozen=True)
class RegisteredModel:
    """A model, or one of its aliases or versions, that the registry knows."""

    name: str
    """models/{model}, models/{model}/aliases/{alias} or models/{model}/versions/{version}."""

    def resolve(self, shoal: "Shoal") -> str:
        """Returns what to call the model in a job.

        Raises:
            NotFound: MODEL_NOT_FOUND when the registry does not know it.
        """
        shoal.models.get("/".join(self.name.split("/")[:2]))
        return self.name


@dataclass(frozen=True)
class ModelFolders:
    """A trained model on disk: one folder, or one for each stage."""

    folders: tuple[Path, ...]
    name: str
    """{model} of the name to import under."""

    def resolve(self, shoal: "Shoal") -> str:
        """Returns the version that the folders are registered as, importing them if they are new.

        Raises:
            InvalidArgument: MODEL_FILE_MISSING, MODEL_CONFIG_INVALID, MODEL_WEIGHTS_MISMATCH or
                MODEL_KIND_UNSUPPORTED.
        """
        return shoal.models.import_([str(folder) for folder in self.folders], name=self.name).name


def model_reference(values: Sequence[str]) -> RegisteredModel | ModelFolders:
    """Returns the model that one or two -m name.

    Raises:
        InvalidArgument: MODEL_MISSING, MODEL_INVALID, NAME_INVALID or MODEL_FILE_MISSING.
        NotFound: MODEL_FOLDER_NOT_FOUND.
    """
    if not values:
        raise InvalidArgument(
            "MODEL_MISSING", "No model is given; add -m with a registered name or a model folder."
        )
    if len(values) > 2:
        raise InvalidArgument(
            "MODEL_INVALID", f"{len(values)} models are given; a model has at most two stages."
        )
    if len(values) == 1 and not _is_path(values[0]):
        return RegisteredModel(resource_name(values[0]))
    folders = model_folders([Path(value) for value in values])
    names = sorted(Path(value).resolve().name for value in values)
    return ModelFolders(folders, _derived_name(names))


def model_folders(given: Sequence[Path]) -> tuple[Path, ...]:
    """Returns the folders that hold a model each; a folder of both stages becomes two.

    Of a training run of Shoal, that is the folder `model` in it.

    Raises:
        NotFound: MODEL_FOLDER_NOT_FOUND.
        InvalidArgument: MODEL_FILE_MISSING or MODEL_INVALID.
    """
    folders = [folder.resolve() for path in given for folder in _stages(path)]
    for folder in folders:
        _check_files(folder)
    if len(folders) > 2:
        raise InvalidArgument(
            "MODEL_INVALID",
            f"{len(folders)} model folders are given; a model has at most two stages.",
        )
    return tuple(folders)


def _is_path(value: str) -> bool:
    return (
        Path(value).is_dir()
        or (value[:1] in "./~" or "\\" in value)
        or ("/" in value and not value.startswith("models/"))
    )


def resource_name(value: str) -> str:
    """Returns the resource name of NAME[@ALIAS]."""
    from shoal_common.names import check_id

    if value.startswith("models/"):
        return value
    model, at, alias = value.partition("@")
    name = f"models/{check_id('model', model)}"
    return f"{name}/aliases/{check_id('alias', alias)}" if at else name


def _stages(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise NotFound(
            "MODEL_FOLDER_NOT_FOUND",
            f"There is no model folder {folder}; check the path.",
            path=folder,
        )
    if _config(folder) is not None:
        return [folder]
    children = sorted(child for child in folder.iterdir() if child.is_dir())
    below = [
        place
        for child in children
        for place in (child, child / _RUN_MODEL)
        if _config(place) is not None
    ]
    if len(below) not in (1, 2):
        found = f"{len(below)} models" if below else f"neither {' nor '.join(_WEIGHTS)}"
        raise InvalidArgument(
            "MODEL_FILE_MISSING" if not below else "MODEL_INVALID",
            f"{folder} holds {found}; give the folder of one model, or of its two stages.",
            path=folder,
        )
    return below


def _config(folder: Path) -> str | None:
    return next((name for name in _WEIGHTS if (folder / name).is_file()), None)


def _check_files(folder: Path) -> None:
    config = _config(folder)
    assert config is not None
    weights = folder / _WEIGHTS[config]
    if not weights.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"The model folder {folder} has no {weights.name}; copy it there.",
            path=weights,
        )


def _derived_name(names: Sequence[str]) -> str:
    """Returns a registry name that people who register models would not choose."""
    clean = [re.sub(r"[^A-Za-z0-9._-]+", "-", name) for name in names]
    return f"auto.{'-'.join(clean)}"[:_LONGEST_NAME]

"""Finds a recipe by its name, or reads it from a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shoal_core.errors import InvalidArgument, NotFound
from shoal_training.config import ModelKind, TrainingConfig
from shoal_training.config_checks import check_config
from shoal_training.config_file import from_values
from shoal_training.profiles import read_profile
from shoal_training.profiles.profile import read_object
from shoal_training.recipes.fast import fast
from shoal_training.recipes.sleap import sleap, sleap_large

RECIPES: Mapping[str, Callable[[ModelKind, tuple[str, ...]], TrainingConfig]] = {
    "fast": fast,
    "sleap": sleap,
    "sleap-large": sleap_large,
}
"""Name → what makes the configuration of a kind and of labels."""


def recipe(name_or_file: str, kind: ModelKind, labels: Sequence[str]) -> TrainingConfig:
    """Returns the configuration of a recipe.

    Args:
        name_or_file: One of `RECIPES`; or the file of a configuration of Shoal (a run's
            config.json), of a training profile of SLEAP (JSON) or of sleap-nn (YAML).
        kind: What the network is to find.
        labels: `DataConfig.labels`, whatever a file says.

    Raises:
        NotFound: RECIPE_NOT_FOUND.
        InvalidArgument: RECIPE_KIND_DIFFERS when a file is for another kind, CONFIG_INVALID or
            PROFILE_INVALID.
    """
    if name_or_file in RECIPES:
        config = RECIPES[name_or_file](kind, tuple(labels))
        check_config(config)
        return config
    path = Path(name_or_file)
    if not path.is_file():
        raise NotFound(
            "RECIPE_NOT_FOUND",
            f"There is no recipe and no file {name_or_file}; give one of {', '.join(RECIPES)}, or "
            "a file.",
            recipe=name_or_file,
        )
    config = _of_file(path, labels)
    if config.kind != kind:
        raise InvalidArgument(
            "RECIPE_KIND_DIFFERS",
            f"{path} is for {config.kind} models, not {kind}; ask for that kind, or give another "
            "recipe.",
            recipe=name_or_file,
            kind=config.kind,
        )
    return config


def kind_of_file(path: Path, labels: Sequence[str]) -> ModelKind:
    """Returns what the network of a recipe's file finds.

    Raises:
        InvalidArgument: CONFIG_INVALID or PROFILE_INVALID.
    """
    return _of_file(path, labels).kind


def _of_file(path: Path, labels: Sequence[str]) -> TrainingConfig:
    values = read_object(path)
    if "kind" not in values:
        return read_profile(path, labels)
    config = from_values(values)
    return replace(config, data=replace(config.data, labels=tuple(labels)))

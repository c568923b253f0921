"""Reads a profile by what it is."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from shoal_core.errors import InvalidArgument, NotFound
from shoal_training.config import TrainingConfig
from shoal_training.config_checks import check_config
from shoal_training.profiles.keys import ProfileKeys
from shoal_training.profiles.sleap import sleap_config
from shoal_training.profiles.sleap_nn import sleap_nn_config


def read_profile(path: Path, labels: Sequence[str]) -> TrainingConfig:
    """Returns the configuration that a profile of SLEAP (JSON) or sleap-nn (YAML) says.

    What has no counterpart here is warned of by its key, or refused where the network would be
    another one.

    Args:
        path: A training profile, or the configuration that training saved with a model.
        labels: `DataConfig.labels`; those that the profile names are not used.

    Raises:
        NotFound: PROFILE_NOT_FOUND.
        InvalidArgument: PROFILE_INVALID, or CONFIG_INVALID when its values do not go together.
    """
    keys = ProfileKeys(path, read_object(path))
    config = (
        sleap_nn_config(keys, tuple(labels))
        if keys.get("model_config") is not None
        else sleap_config(keys, tuple(labels))
    )
    check_config(config)
    return config


def read_object(path: Path) -> Mapping[str, Any]:
    """Returns the object of a JSON or YAML file.

    Raises:
        NotFound: PROFILE_NOT_FOUND.
        InvalidArgument: PROFILE_INVALID.
    """
    if not path.is_file():
        raise NotFound("PROFILE_NOT_FOUND", f"There is no training profile {path}.", path=path)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise InvalidArgument(
            "PROFILE_INVALID",
            f"{path} is neither JSON nor YAML ({str(error).splitlines()[0]}); export it again.",
            path=path,
        ) from error
    if not isinstance(values, Mapping):
        raise InvalidArgument(
            "PROFILE_INVALID", f"{path} holds no object of settings; give a profile.", path=path
        )
    return values

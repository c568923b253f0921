"""Weights of an encoder from a local file: tensors only, never code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from shoal_core.errors import InvalidArgument


def load_encoder_weights(encoder: nn.Module, path: Path) -> None:
    """Puts the tensors of a state dictionary (.pt, .pth, .safetensors) into an encoder.

    Tensors that the encoder has not (its classifier, stages behind the one that is used) are
    left out; every tensor that it has must be there, of the same shape.

    Raises:
        InvalidArgument: WEIGHTS_INVALID when the file cannot be read or does not fit.
    """
    tensors = _read(path)
    wanted = encoder.state_dict()
    # timm's feature networks flatten names such as "layer1.0" of some families to "layer1_0".
    given = {**{_flat(name, wanted): value for name, value in tensors.items()}, **tensors}
    wrong = [
        name for name in wanted if name not in given or given[name].shape != wanted[name].shape
    ]
    if wrong:
        raise InvalidArgument(
            "WEIGHTS_INVALID",
            f"{path} has no {wrong[0]} of shape {tuple(wanted[wrong[0]].shape)} "
            f"({len(wrong)} tensors do not fit); give the weights of the encoder that "
            "network.encoder names.",
            file=path,
            tensor=wrong[0],
        )
    encoder.load_state_dict({name: given[name] for name in wanted})


def _flat(name: str, wanted: Mapping[str, Tensor]) -> str:
    """Returns the name with as many leading dots flattened as one of the wanted ones has."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        candidate = "_".join(parts[: count + 1]) + "".join(
            f".{part}" for part in parts[count + 1 :]
        )
        if candidate in wanted:
            return candidate
    return name


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InvalidArgument(
            "WEIGHTS_INVALID",
            f"{path} cannot be read as tensors ({type(error).__name__}); give a state dictionary "
            "saved by torch (.pt) or as .safetensors.",
            file=path,
        ) from error
    if not isinstance(tensors, Mapping) or not all(
        isinstance(value, Tensor) for value in tensors.values()
    ):
        raise InvalidArgument(
            "WEIGHTS_INVALID",
            f"{path} holds no state dictionary; save the encoder's state_dict() alone.",
            file=path,
        )
    return tensors

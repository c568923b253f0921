"""The tensors of one checkpoint, each taken for its one place in the network."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_serving.importing.torch_files import CONFIG_FILE, WEIGHTS_FILE

PREFIX = "model."
"""What the name of every tensor begins with."""


class TorchTensors:
    """Hands out tensors by name after checking their shapes, and knows which are left."""

    def __init__(self, folder: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Takes the tensors by their names in the checkpoint; `folder` is named in errors."""
        self._folder = folder
        self._arrays = arrays
        self._left = set(arrays)

    def __contains__(self, name: str) -> bool:
        """Returns whether the checkpoint has a tensor; names are given without PREFIX."""
        return PREFIX + name in self._arrays

    def take(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """Returns a tensor (None fits any length).

        Raises:
            InvalidArgument: MODEL_WEIGHTS_MISMATCH when it is not there or has another shape.
        """
        array = self._arrays.get(PREFIX + name)
        if array is None:
            raise self.mismatch(f"has no {PREFIX}{name}")
        fits = array.ndim == len(shape) and all(
            expected in (None, actual) for expected, actual in zip(shape, array.shape, strict=True)
        )
        if not fits:
            expected = "x".join("?" if length is None else str(length) for length in shape)
            actual = "x".join(map(str, array.shape))
            raise self.mismatch(
                f"holds {PREFIX}{name} of shape {actual} where {expected} is needed"
            )
        self._left.discard(PREFIX + name)
        return array

    def check_all_taken(self) -> None:
        """Raises MODEL_WEIGHTS_MISMATCH when a tensor had no place in the network."""
        if self._left:
            raise self.mismatch(f"holds {min(self._left)!r}, which that network does not have")

    def mismatch(self, problem: str) -> InvalidArgument:
        """Returns the error that says how checkpoint and configuration differ."""
        return InvalidArgument(
            "MODEL_WEIGHTS_MISMATCH",
            f"{self._folder}: {WEIGHTS_FILE} {problem[:200]}, unlike the network that "
            f"{CONFIG_FILE} describes; copy both files from the same training run.",
            folder=self._folder,
        )

"""What a model takes and gives: names, element types and shapes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal_core.errors import InvalidArgument

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Element types of the Open Inference Protocol that the engine runs."""

ANY_LENGTH = -1


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    datatype: str
    """Key of DTYPES."""
    shape: tuple[int, ...]
    """Length of each axis; ANY_LENGTH where it is free."""
    optional: bool = False
    """Whether the engine fills it in when a request leaves it out."""

    def check(self, datatype: str, shape: tuple[int, ...]) -> None:
        """Checks a request's tensor against this.

        Raises:
            InvalidArgument: INPUT_TYPE_MISMATCH or INPUT_SHAPE_MISMATCH.
        """
        if datatype != self.datatype:
            raise InvalidArgument(
                "INPUT_TYPE_MISMATCH",
                f"Input {self.name!r} is {datatype or 'without a type'}; the model takes "
                f"{self.datatype}.",
                input=self.name,
            )
        fits = len(shape) == len(self.shape) and all(
            given >= 0 and expected in (ANY_LENGTH, given)
            for given, expected in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise InvalidArgument(
                "INPUT_SHAPE_MISMATCH",
                f"Input {self.name!r} has shape {list(shape)}; the model takes "
                f"{list(self.shape)} (-1: any length).",
                input=self.name,
            )
